//! Elements kept at random.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::DropoutDims;

/// One thread per counter of four elements.
pub fn dropout(l: &mut Lowering, d: &DropoutDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("dropout", d.elements.div_ceil(4), arguments);
}
