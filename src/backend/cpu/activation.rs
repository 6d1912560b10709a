//! The functions of `Unary` on rows of results, for kernels that apply them before they store.

use super::Real;
use super::elementwise::softplus;
use crate::call::Unary;

/// Replaces each element y by f(y).
pub fn activate<T: Real>(y: &mut [T], function: Unary) {
    let each = |y: &mut [T], f: &dyn Fn(T) -> T| y.iter_mut().for_each(|y| *y = f(*y));
    match function {
        Unary::Identity => {}
        Unary::Relu => y.iter_mut().for_each(|y| *y = if *y < T::ZERO { T::ZERO } else { *y }),
        Unary::LeakyRelu(slope) => {
            let slope = T::of(slope.into());
            y.iter_mut().for_each(|y| *y = if *y > T::ZERO { *y } else { slope * *y });
        }
        Unary::Tanh => each(y, &T::tanh),
        Unary::Sigmoid => each(y, &|y| T::ONE / (T::ONE + (-y).exp())),
        Unary::Exp => each(y, &T::exp),
        Unary::Log => each(y, &T::ln),
        Unary::Sign => each(y, &|y| T::of(f64::from(i8::from(y > T::ZERO) - i8::from(y < T::ZERO)))),
        Unary::Affine(a, b) => each(y, &|y| T::of(a.into()) * y + T::of(b.into())),
        Unary::Square => each(y, &|y| y * y),
        Unary::Softplus => each(y, &softplus),
    }
}
