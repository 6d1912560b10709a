//! What an optimiser does to one parameter, shared by the kernels that update in place.

use super::Real;
use crate::call::{Optimizer, scalar};

/// An optimiser with M moments for each parameter.
pub trait Rule<T, const M: usize>: Sync {
    /// One step on the parameters w with their moments and gradients, slices of one length.
    fn step_all(&self, w: &mut [T], moments: [&mut [T]; M], g: &[T]);
}

impl<T: Real> Rule<T, 2> for Adam<T> {
    #[inline(always)]
    fn step_all(&self, w: &mut [T], [m, v]: [&mut [T]; 2], g: &[T]) {
        for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(g) {
            self.step(w, m, v, *g);
        }
    }
}

impl<T: Real> Rule<T, 1> for RmsProp<T> {
    #[inline(always)]
    fn step_all(&self, w: &mut [T], [v]: [&mut [T]; 1], g: &[T]) {
        for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
            self.step(w, v, *g);
        }
    }
}

/// All slices cut at the same element.
pub fn halves<T, const M: usize>(slices: [&mut [T]; M], middle: usize) -> ([&mut [T]; M], [&mut [T]; M]) {
    let mut pairs = slices.map(|slice| slice.split_at_mut(middle));
    let low = std::array::from_fn(|i| std::mem::take(&mut pairs[i].0));
    (low, std::array::from_fn(|i| std::mem::take(&mut pairs[i].1)))
}

/// Adam (Kingma & Ba 2015, algorithm 1) with the values of one step.
#[derive(Clone, Copy, Debug)]
pub struct Adam<T> {
    pub beta1: T,
    pub beta2: T,
    pub epsilon: T,
    pub learning_rate: T,
    /// 1 - beta1^t
    pub correction1: T,
    /// 1 - beta2^t
    pub correction2: T,
}

impl<T: Real> Adam<T> {
    /// The rule of the current step; `None` when `optimizer` is not Adam. `scalars` as `call::scalar` indexes them.
    pub fn new(optimizer: Optimizer, scalars: &[T]) -> Option<Self> {
        let Optimizer::Adam { beta1, beta2, epsilon, .. } = optimizer else { return None };
        Some(Self {
            beta1: T::of(beta1.into()),
            beta2: T::of(beta2.into()),
            epsilon: T::of(epsilon.into()),
            learning_rate: scalars[scalar::LEARNING_RATE],
            correction1: scalars[scalar::CORRECTION1],
            correction2: scalars[scalar::CORRECTION2],
        })
    }

    /// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
    /// w -= learning_rate (m / correction1) / (sqrt(v / correction2) + epsilon).
    #[inline(always)]
    pub fn step(&self, w: &mut T, m: &mut T, v: &mut T, g: T) {
        // Both quotients are the same for all parameters of a loop, so that one division per parameter remains.
        let rate = self.learning_rate / self.correction1;
        let scale = T::ONE / self.correction2;
        *m = self.beta1 * *m + (T::ONE - self.beta1) * g;
        *v = self.beta2 * *v + (T::ONE - self.beta2) * (g * g);
        *w -= rate * *m / ((*v * scale).sqrt() + self.epsilon);
    }
}

/// RMSProp (Tieleman & Hinton 2012) without momentum, epsilon inside the root, with the values of one step.
#[derive(Clone, Copy, Debug)]
pub struct RmsProp<T> {
    pub decay: T,
    pub epsilon: T,
    pub learning_rate: T,
}

impl<T: Real> RmsProp<T> {
    /// The rule of the current step; `None` when `optimizer` is not RMSProp. `scalars` as `call::scalar` indexes them.
    pub fn new(optimizer: Optimizer, scalars: &[T]) -> Option<Self> {
        let Optimizer::RmsProp { decay, epsilon, .. } = optimizer else { return None };
        let learning_rate = scalars[scalar::LEARNING_RATE];
        Some(Self { decay: T::of(decay.into()), epsilon: T::of(epsilon.into()), learning_rate })
    }

    /// v = decay v + (1 - decay) g^2, w -= learning_rate g / sqrt(v + epsilon).
    #[inline(always)]
    pub fn step(&self, w: &mut T, v: &mut T, g: T) {
        *v = self.decay * *v + (T::ONE - self.decay) * (g * g);
        *w -= self.learning_rate * g / (*v + self.epsilon).sqrt();
    }
}
