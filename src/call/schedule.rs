//! Learning rate, annealing and Adam's corrections as functions of the step, for the host and the CPU backend alike.

use bytemuck::{Pod, Zeroable};

/// Learning rate and annealing as functions of the step t = 1, 2, ... (see `train::schedule`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Schedule {
    pub learning_rate: f32,
    /// Steps over which the rate rises linearly from 0.
    pub warmup_steps: u32,
    /// Step at which the cosine decay reaches `final_fraction` of the rate; 0: constant rate.
    pub decay_steps: u32,
    pub final_fraction: f32,
    pub anneal_start_step: u32,
    /// 0: the anneal factor is 1 from `anneal_start_step` on.
    pub anneal_length_steps: u32,
    pub beta1: f32,
    pub beta2: f32,
}

/// What the step scalars hold during one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepScalars {
    pub learning_rate: f64,
    /// Factor of KL / N, 0 to 1.
    pub anneal: f64,
    /// 1 - beta1^t
    pub correction1: f64,
    /// 1 - beta2^t
    pub correction2: f64,
}

impl Schedule {
    /// The scalars of step t = 1, 2, ...
    pub fn at(&self, step: u32) -> StepScalars {
        StepScalars {
            learning_rate: self.learning_rate_at(step),
            anneal: self.anneal_at(step),
            correction1: 1.0 - f64::from(self.beta1).powf(step.into()),
            correction2: 1.0 - f64::from(self.beta2).powf(step.into()),
        }
    }

    /// Linear from 0 over the warm-up; then constant, or half a cosine (Loshchilov & Hutter 2017, eq. 5) down to
    /// `final_fraction` of the rate at `decay_steps`.
    fn learning_rate_at(&self, step: u32) -> f64 {
        let rate = f64::from(self.learning_rate);
        if step < self.warmup_steps {
            return rate * f64::from(step) / f64::from(self.warmup_steps);
        }
        if self.decay_steps == 0 {
            return rate;
        }
        let length = self.decay_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = (f64::from(step - self.warmup_steps) / f64::from(length)).min(1.0);
        let last = f64::from(self.final_fraction);
        rate * (last + (1.0 - last) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))
    }

    /// 0 up to `anneal_start_step`, then linear to 1 over `anneal_length_steps`.
    fn anneal_at(&self, step: u32) -> f64 {
        if self.anneal_length_steps == 0 {
            return if step > self.anneal_start_step { 1.0 } else { 0.0 };
        }
        let since = step.saturating_sub(self.anneal_start_step);
        (f64::from(since) / f64::from(self.anneal_length_steps)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant() -> Schedule {
        Schedule {
            learning_rate: 0.5,
            warmup_steps: 0,
            decay_steps: 0,
            final_fraction: 0.0,
            anneal_start_step: 0,
            anneal_length_steps: 0,
            beta1: 0.5,
            beta2: 0.75,
        }
    }

    #[test]
    fn a_constant_schedule_is_constant_and_fully_annealed() {
        for step in [1, 2, 1000, u32::MAX] {
            let now = constant().at(step);
            assert_eq!((now.learning_rate, now.anneal), (0.5, 1.0), "step {step}");
        }
        let third = constant().at(3);
        assert_eq!((third.correction1, third.correction2), (0.875, 1.0 - 0.421_875));
    }

    #[test]
    fn warm_up_is_linear_and_cosine_ends_at_the_final_fraction() {
        let schedule = Schedule { warmup_steps: 4, decay_steps: 12, final_fraction: 0.2, ..constant() };
        let expected = [(1, 0.125), (2, 0.25), (4, 0.5), (8, 0.3), (12, 0.1), (13, 0.1), (500, 0.1)];
        for (step, rate) in expected {
            let found = schedule.at(step).learning_rate;
            assert!((found - rate).abs() <= 1e-8, "step {step}: {found}, not {rate}");
        }
    }

    #[test]
    fn annealing_rises_linearly_from_its_start() {
        let schedule = Schedule { anneal_start_step: 10, anneal_length_steps: 5, ..constant() };
        for (step, anneal) in [(1, 0.0), (10, 0.0), (11, 0.2), (14, 0.8), (15, 1.0), (99, 1.0)] {
            assert_eq!(schedule.at(step).anneal, anneal, "step {step}");
        }
        let jump = Schedule { anneal_start_step: 10, ..constant() };
        assert_eq!((jump.at(10).anneal, jump.at(11).anneal), (0.0, 1.0));
    }
}
