//! Outputs drawn around their mean.

use super::launch::Arguments;
use super::lowering::Lowering;

/// One thread per counter of four elements.
pub fn forward(l: &mut Lowering, elements: u32, stream: u32) {
    let reads = Arguments::new().with(elements).with(stream).with(l.read(0)).with(l.read(1)).with(l.read(2));
    l.launch_elements("local_reparameterization", elements.div_ceil(4), reads.with(l.write(0)));
}

pub fn grad(l: &mut Lowering, elements: u32, stream: u32) {
    let reads = Arguments::new().with(elements).with(stream).with(l.read(0)).with(l.read(1)).with(l.read(2));
    let arguments = reads.with(l.write(0)).with(l.write(1));
    l.launch_elements("local_reparameterization_grad", elements.div_ceil(4), arguments);
}
