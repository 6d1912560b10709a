//! Finite differences of a case's output in f64, with a step that suits each point.

use super::branches;
use crate::backend::cpu::Cpu;
use crate::call::Region;
use crate::plan::Plan;

/// Steps to try, largest first: powers of two, so that `x + step` is exact.
const STEPS: [f64; 5] = [1.0 / 1024.0, 1.0 / 8192.0, 1.0 / 65536.0, 1.0 / 262_144.0, 1.0 / 1_048_576.0];

/// Two steps agree when their differences do to this part of the difference itself.
const AGREEMENT: f64 = 1e-9;

/// Rounding of the output, in parts of the sum of its terms: divided by the step it is the noise of a difference.
const ROUNDING: f64 = 4.0 * f64::EPSILON;

/// The function to differentiate: sum of `seeds` times the output of `plan`.
pub struct Function<'a> {
    pub device: &'a mut Cpu<f64>,
    pub plan: &'a Plan,
    pub output: Region,
    pub seeds: &'a [f64],
}

/// A derivative, and about how far rounding may have moved it.
#[derive(Clone, Copy, Debug)]
pub struct Derivative {
    pub value: f64,
    pub noise: f64,
}

/// The output at a point, and which branches (`branches`) led to it.
struct Point {
    output: Vec<f64>,
    branches: u64,
}

impl Function<'_> {
    /// Sum of the sizes of the terms of the output at the point itself.
    pub fn scale(&mut self) -> f64 {
        self.device.run(self.plan);
        let output = self.device.read::<f64>(self.plan, self.output);
        output.iter().zip(self.seeds).map(|(y, seed)| (y * seed).abs()).sum()
    }

    /// Derivative by one element, or `None` when every step straddles a kink: the branches taken differ from those of the
    /// point itself. Fourth-order central differences (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h; of all neighbouring
    /// steps the two that agree best, noise allowed for, decide, which leaves nothing to the gradient under test.
    pub fn derivative(&mut self, element: Region, scale: f64) -> Option<Derivative> {
        let branches = self.at(element, 0.0).branches;
        let mut previous: Option<Derivative> = None;
        let mut best: Option<(f64, Derivative)> = None;
        for step in STEPS {
            let Some(value) = self.central(element, step, branches) else {
                previous = None;
                continue;
            };
            let noise = ROUNDING * scale / step;
            let gap = previous.map_or(f64::MAX, |previous| (value - previous.value).abs());
            let found = Derivative { value, noise };
            // Where rounding explains the gap the larger step is the better one.
            let better = previous.filter(|_| gap <= noise).unwrap_or(found);
            if best.is_none_or(|best| gap.max(noise) < best.0) {
                best = Some((gap.max(noise), better));
            }
            if gap <= noise.max(AGREEMENT * value.abs()) {
                break;
            }
            previous = Some(found);
        }
        best.map(|best| best.1)
    }

    fn central(&mut self, element: Region, step: f64, branches: u64) -> Option<f64> {
        let near = self.odd(element, step, branches)?;
        let far = self.odd(element, 2.0 * step, branches)?;
        Some((8.0 * near - far) / (12.0 * step))
    }

    /// f(step) - f(-step), subtracted term by term, when both took the given branches.
    fn odd(&mut self, element: Region, step: f64, branches: u64) -> Option<f64> {
        let (above, below) = (self.at(element, step), self.at(element, -step));
        let terms = above.output.iter().zip(&below.output).zip(self.seeds);
        (above.branches == branches && below.branches == branches)
            .then(|| terms.map(|((above, below), seed)| seed * (above - below)).sum())
    }

    fn at(&mut self, element: Region, change: f64) -> Point {
        let value = self.device.persistent::<f64>(element)[0];
        self.device.persistent_mut::<f64>(element)[0] = value + change;
        let branches = branches::run(self.device, self.plan);
        let output = self.device.read::<f64>(self.plan, self.output).to_vec();
        self.device.persistent_mut::<f64>(element)[0] = value;
        Point { output, branches }
    }
}
