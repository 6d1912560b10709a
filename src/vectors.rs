//! The vector instructions that CPU kernels run on: the widest of this processor, unless BBH_VECTORS names narrower ones.
//!
//! Kernels are plain loops, compiled once for each set. Sets differ in rounding: the narrowest has no fused multiply-adds, and
//! wider registers may sum in another order. One set gives the same bits on every processor for which the system's
//! mathematical library does: `exp`, `ln` and `tanh` are its own where a kernel has no form of them.

use crate::{Error, Result};
use pulp::{Arch, Simd, WithSimd};
use std::sync::OnceLock;

/// Environment variable that names a set: sse2, avx2 or avx512 on x86-64, neon or portable on aarch64.
const VARIABLE: &str = "BBH_VECTORS";

/// f32 lanes of a register without fused multiply-adds; the narrowest set.
pub const PORTABLE: usize = 4;
/// f32 lanes of a register of AVX2, of two registers of NEON.
pub const NARROW: usize = 8;
/// f32 lanes of a register of AVX-512.
pub const BROAD: usize = 16;

/// The set in use. One that BBH_VECTORS names wrongly counts as absent: [`check`] tells.
pub fn arch() -> Arch {
    static CHOSEN: OnceLock<Arch> = OnceLock::new();
    *CHOSEN.get_or_init(|| choose().unwrap_or_default())
}

/// The name of the set in use.
pub fn name() -> &'static str {
    name_of(arch())
}

/// f32 lanes by which kernels lay out their scratch memory: those of a register of the set in use, of two where it has
/// [`PORTABLE`].
pub fn lanes() -> usize {
    match arch() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => BROAD,
        _ => NARROW,
    }
}

/// The instructions of AVX2, if the set in use has them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn avx2() -> Option<pulp::x86::V3> {
    match arch() {
        Arch::V4(simd) => Some(*simd),
        Arch::V3(simd) => Some(simd),
        _ => None,
    }
}

/// Looks at BBH_VECTORS.
///
/// # Errors
/// When it names no set, or one that this processor lacks.
pub fn check() -> Result<()> {
    choose().map(|_| ())
}

/// A computation in one form for each set: `W` f32 lanes a register, [`PORTABLE`] without fused multiply-adds.
pub trait Vectorised {
    type Output;
    /// To be inlined always.
    fn run<const W: usize>(self) -> Self::Output;
}

/// Runs the form of the set in use.
#[inline]
pub fn vectorised<V: Vectorised>(work: V) -> V::Output {
    match arch() {
        Arch::Scalar => work.run::<PORTABLE>(),
        #[cfg(target_arch = "x86_64")]
        Arch::V4(simd) => Simd::vectorize(simd, Form::<V, BROAD>(work)),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(simd) => Simd::vectorize(simd, Form::<V, NARROW>(work)),
        arch => arch.dispatch(Form::<V, NARROW>(work)),
    }
}

/// Runs `work`, a closure marked `#[inline(always)]`, compiled for the set in use. What fuses multiply-adds is a [`Vectorised`]
/// instead: `mul_add` is a slow call in the set that has no such instruction.
#[inline]
pub fn dispatch<R>(work: impl FnMut() -> R) -> R {
    vectorised(Closure(work))
}

/// One form of a computation. Not a closure: what calls a closure once may not be inlined into the code with vectors.
struct Form<V, const W: usize>(V);

impl<V: Vectorised, const W: usize> WithSimd for Form<V, W> {
    type Output = V::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> V::Output {
        self.0.run::<W>()
    }
}

struct Closure<F>(F);

impl<R, F: FnMut() -> R> Vectorised for Closure<F> {
    type Output = R;

    #[inline(always)]
    fn run<const W: usize>(mut self) -> R {
        (self.0)()
    }
}

fn choose() -> Result<Arch> {
    let Some(asked) = std::env::var_os(VARIABLE) else { return Ok(Arch::new()) };
    let sets = sets();
    sets.iter().find(|set| asked == name_of(**set)).copied().ok_or_else(|| {
        let names: Vec<&str> = sets.iter().map(|set| name_of(*set)).collect();
        let asked = asked.to_string_lossy();
        Error::input(format!("{VARIABLE}: expected one of {} on this processor, found '{asked}'", names.join(", ")))
    })
}

/// The sets of this processor.
fn sets() -> Vec<Arch> {
    let mut sets = vec![Arch::Scalar];
    #[cfg(target_arch = "x86_64")]
    {
        sets.extend(pulp::x86::V3::try_new().map(Arch::V3));
        sets.extend(pulp::x86::V4::try_new().map(Arch::V4));
    }
    #[cfg(target_arch = "aarch64")]
    sets.push(Arch::new());
    sets
}

fn name_of(arch: Arch) -> &'static str {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::Scalar => "sse2",
        #[cfg(target_arch = "x86_64")]
        Arch::V3(_) => "avx2",
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => "avx512",
        #[cfg(target_arch = "aarch64")]
        Arch::Neon(_) => "neon",
        _ => "portable",
    }
}
