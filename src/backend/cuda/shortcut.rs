//! A sum of two images of which the second may have fewer channels, and the second's gradient.

use super::launch::Arguments;
use super::lowering::Lowering;
use crate::call::ShortcutDims;

pub fn forward(l: &mut Lowering, d: &ShortcutDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.read(1)).with(l.write(0));
    l.launch_elements("shortcut", d.images * d.channels * d.inner, arguments);
}

pub fn grad(l: &mut Lowering, d: &ShortcutDims) {
    let arguments = Arguments::new().with(*d).with(l.read(0)).with(l.write(0));
    l.launch_elements("shortcut_grad", d.images * d.narrow * d.inner, arguments);
}
