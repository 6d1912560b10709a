//! Normalisation and its gradient: a few lanes for each plane (s, n, c); statistics over a batch take a launch that joins
//! those of its planes.

use super::launch::Arguments;
use super::lowering::{In, Lowering};
use crate::call::NormDims;

/// Threads of a block; as in kernels/norm.cu.
const THREADS: u32 = 256;

pub fn forward(l: &mut Lowering, d: &NormDims) {
    let (x, gamma, beta, y, statistics) = (l.read(0), l.read(1), l.read(2), l.write(0), l.write(1));
    if d.per_image == 1 {
        let arguments = planes(d).with(x).with(gamma).with(beta).with(y).with(statistics);
        return launch_planes(l, "norm_instance", d, arguments);
    }
    launch_planes(l, "norm_planes", d, planes(d).with(x).with(statistics));
    l.launch("norm_join", [d.channels, d.samples, 1], 32, Arguments::new().with(*d).with(statistics));
    let known = In { data: statistics.data, len: statistics.len, stride: statistics.stride };
    launch_planes(l, "norm_batch", d, planes(d).with(x).with(gamma).with(beta).with(known).with(y));
}

pub fn grad(l: &mut Lowering, d: &NormDims) {
    let inputs = || (0..5).fold(planes(d), |arguments, index| arguments.with(l.read(index)));
    let (dx, dgamma, dbeta, partials) = (l.write(0), l.write(1), l.write(2), l.write(3));
    let (sums, whole) = (inputs().with(partials), inputs().with(dx).with(partials));
    let sets = if d.shared == 1 { 1 } else { d.samples };
    let affine = Arguments::new().with(*d).with(dgamma).with(dbeta).with(partials);
    if d.per_image == 1 {
        launch_planes(l, "norm_grad_instance", d, whole);
        return l.launch("norm_grad_affine", [d.channels, sets, 1], 32, affine);
    }
    launch_planes(l, "norm_grad_planes", d, sums);
    l.launch("norm_grad_affine", [d.channels, sets, 1], 32, affine);
    launch_planes(l, "norm_grad_batch", d, whole);
}

/// Lanes of a plane: a power of two, at most a warp.
fn lanes(d: &NormDims) -> u32 {
    d.inner.next_power_of_two().min(32)
}

/// What the arguments of a kernel of planes begin with.
fn planes(d: &NormDims) -> Arguments {
    Arguments::new().with(*d).with(lanes(d))
}

fn launch_planes(l: &mut Lowering, kernel: &'static str, d: &NormDims, arguments: Arguments) {
    l.launch(kernel, [(d.planes() as u32).div_ceil(THREADS / lanes(d)), 1, 1], THREADS, arguments);
}
