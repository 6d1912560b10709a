//! A random subset of the weights.

use super::elementwise;
use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::{SubsetDims, Write};

/// One thread per chosen element.
pub fn forward(l: &mut Lowering, d: &SubsetDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("subset", d.chosen, arguments);
}

/// Zeros where the gradient is set; then one thread per chosen element, no two of which have the same place.
pub fn grad(l: &mut Lowering, d: &SubsetDims) {
    if l.call.writes[0].1 == Write::Set {
        elementwise::fill(l, d.samples * d.weights, 0.0);
    }
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("subset_grad", d.chosen, arguments);
}
