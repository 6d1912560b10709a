//! Standardised crops of images.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::AugmentDims;

/// One block per image.
pub fn augment(l: &mut Lowering, d: &AugmentDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch("augment", [d.batch, 1, 1], 128, arguments);
}
