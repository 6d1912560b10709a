//! Hamiltonian Monte Carlo (Neal 2011, "MCMC using Hamiltonian dynamics", algorithm of section 5.3.2): leapfrog trajectories of
//! a fixed number of steps, momenta N(0, I), all chains side by side, the step size found during burn-in and fixed from then on.

pub mod diagnostics;
mod step_size;

use crate::random::Stream;
use crate::{Error, Result};
use step_size::DualAveraging;

/// Momenta of chain c come from this stream + c, decisions from the same + c + 2^16: far above those that a plan draws from, and
/// below those of data sets.
const FIRST_STREAM: u32 = 0x4000_0000 + (1 << 24);
const DECISIONS: u32 = 1 << 16;

/// Each trajectory's step size is the common one times a factor from this far below 1 to as far above, so that no trajectory
/// length can be a period of the motion (Neal 2011, section 3.2).
const JITTER: f64 = 0.2;

/// Step size at which burn-in starts.
const FIRST_STEP_SIZE: f64 = 0.01;

/// Settings of the sampler.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Markov chains C.
    pub chains: usize,
    /// Trajectories of each chain that are dropped; the step size is found in them.
    pub burn_in: usize,
    /// Positions of each chain that are kept.
    pub draws: usize,
    /// Trajectories from one kept position to the next.
    pub thin: usize,
    /// Leapfrog steps of a trajectory.
    pub leapfrog: usize,
    /// Share of trajectories to accept, in (0, 1).
    pub acceptance: f64,
    pub seed: u64,
}

/// What the chains left.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    /// [draws, C, D]
    pub positions: Vec<f64>,
    /// [draws, C], up to a constant.
    pub log_densities: Vec<f64>,
    /// Share of trajectories accepted after burn-in.
    pub acceptance: f64,
    /// The common step size after burn-in.
    pub step_size: f64,
}

/// Fills the log densities [C] (up to a constant) and their gradients [C, D] at positions [C, D].
pub type Density<'a> = &'a mut dyn FnMut(&[f64], &mut [f64], &mut [f64]) -> Result<()>;

/// Runs the chains from `start` [C, D].
///
/// # Errors
/// When settings are out of range, the density fails, or it is not finite at the start.
pub fn sample(settings: &Settings, start: &[f64], density: Density) -> Result<Draws> {
    check(settings, start)?;
    let mut chains = Chains::new(settings, start, density)?;
    let mut size = DualAveraging::new(FIRST_STEP_SIZE, settings.acceptance);
    for iteration in 0..settings.burn_in {
        let accepted = chains.trajectory(iteration, size.current())?;
        size.update(accepted.iter().sum::<f64>() / settings.chains as f64);
    }
    let step_size = size.settled();
    let before = chains.accepted;
    let mut draws = Draws { positions: Vec::new(), log_densities: Vec::new(), acceptance: 0.0, step_size };
    for draw in 0..settings.draws {
        for turn in 0..settings.thin {
            chains.trajectory(settings.burn_in + draw * settings.thin + turn, step_size)?;
        }
        draws.positions.extend_from_slice(&chains.now.position);
        draws.log_densities.extend_from_slice(&chains.now.log_density);
    }
    let trajectories = settings.chains * settings.draws * settings.thin;
    draws.acceptance = (chains.accepted - before) as f64 / trajectories as f64;
    Ok(draws)
}

fn check(settings: &Settings, start: &[f64]) -> Result<()> {
    let counts = [
        ("chains", settings.chains),
        ("draws", settings.draws),
        ("thin", settings.thin),
        ("leapfrog", settings.leapfrog),
    ];
    for (name, count) in counts {
        if count == 0 {
            return Err(Error::input(format!("hmc: {name}: expected at least 1, found 0")));
        }
    }
    if !(settings.acceptance > 0.0 && settings.acceptance < 1.0) {
        let found = settings.acceptance;
        return Err(Error::input(format!("hmc: acceptance: expected a share between 0 and 1, found {found}")));
    }
    if start.is_empty() || !start.len().is_multiple_of(settings.chains) {
        return Err(Error::input("hmc: expected a start of as many numbers for each chain, at least one"));
    }
    Ok(())
}

/// Position, log density and its gradient of every chain.
#[derive(Clone)]
struct State {
    position: Vec<f64>,
    log_density: Vec<f64>,
    gradient: Vec<f64>,
}

struct Chains<'a> {
    settings: &'a Settings,
    density: Density<'a>,
    /// D
    size: usize,
    now: State,
    next: State,
    momentum: Vec<f64>,
    /// Trajectories accepted so far.
    accepted: usize,
}

impl<'a> Chains<'a> {
    fn new(settings: &'a Settings, start: &[f64], density: Density<'a>) -> Result<Self> {
        let mut now = State {
            position: start.to_vec(),
            log_density: vec![0.0; settings.chains],
            gradient: vec![0.0; start.len()],
        };
        density(&now.position, &mut now.log_density, &mut now.gradient)?;
        if !now.log_density.iter().all(|value| value.is_finite()) {
            return Err(Error::run("hmc: the log density is not finite at the start of a chain; start elsewhere"));
        }
        let (size, momentum, next) = (start.len() / settings.chains, vec![0.0; start.len()], now.clone());
        Ok(Self { settings, density, size, now, next, momentum, accepted: 0 })
    }

    /// One trajectory of every chain. Returns the probabilities with which they were accepted.
    fn trajectory(&mut self, iteration: usize, step_size: f64) -> Result<Vec<f64>> {
        let (chains, seed) = (self.settings.chains, self.settings.seed);
        let mut lots = vec![[0.0; 2]; chains];
        for (chain, (lots, momentum)) in lots.iter_mut().zip(self.momentum.chunks_mut(self.size)).enumerate() {
            stream(seed, chain as u32, iteration).normals_f64(0, momentum);
            stream(seed, DECISIONS + chain as u32, iteration).uniforms_f64(0, lots);
        }
        let sizes: Vec<f64> = lots.iter().map(|lots| step_size * (1.0 + JITTER * (2.0 * lots[0] - 1.0))).collect();
        let before = self.kinetic();
        self.next.clone_from(&self.now);
        self.leapfrog(&sizes)?;
        let after = self.kinetic();
        let mut probabilities = Vec::with_capacity(chains);
        for chain in 0..chains {
            let gain = self.next.log_density[chain] - self.now.log_density[chain] + before[chain] - after[chain];
            // A trajectory that left the finite numbers is refused.
            let probability = if gain.is_finite() { gain.exp().min(1.0) } else { 0.0 };
            if lots[chain][1] < probability {
                self.accept(chain);
            }
            probabilities.push(probability);
        }
        Ok(probabilities)
    }

    /// Half a step of the momentum, then full steps of position and momentum in turn, then half a step of the momentum (Neal
    /// 2011, equations 5.18 to 5.20).
    fn leapfrog(&mut self, sizes: &[f64]) -> Result<()> {
        let steps = self.settings.leapfrog;
        self.kick(sizes, 0.5);
        for step in 1..=steps {
            let rows = self.next.position.chunks_mut(self.size).zip(self.momentum.chunks(self.size));
            for ((position, momentum), size) in rows.zip(sizes) {
                position.iter_mut().zip(momentum).for_each(|(q, p)| *q += size * p);
            }
            (self.density)(&self.next.position, &mut self.next.log_density, &mut self.next.gradient)?;
            self.kick(sizes, if step == steps { 0.5 } else { 1.0 });
        }
        Ok(())
    }

    /// p += share * step size * gradient
    fn kick(&mut self, sizes: &[f64], share: f64) {
        let rows = self.momentum.chunks_mut(self.size).zip(self.next.gradient.chunks(self.size));
        for ((momentum, gradient), size) in rows.zip(sizes) {
            momentum.iter_mut().zip(gradient).for_each(|(p, g)| *p += share * size * g);
        }
    }

    /// |p|^2 / 2 of each chain.
    fn kinetic(&self) -> Vec<f64> {
        self.momentum.chunks(self.size).map(|p| 0.5 * p.iter().map(|p| p * p).sum::<f64>()).collect()
    }

    fn accept(&mut self, chain: usize) {
        let row = chain * self.size..(chain + 1) * self.size;
        self.now.position[row.clone()].copy_from_slice(&self.next.position[row.clone()]);
        self.now.gradient[row.clone()].copy_from_slice(&self.next.gradient[row]);
        self.now.log_density[chain] = self.next.log_density[chain];
        self.accepted += 1;
    }
}

fn stream(seed: u64, number: u32, iteration: usize) -> Stream {
    Stream { key: [seed as u32, (seed >> 32) as u32], stream: FIRST_STREAM + number, step: iteration as u32 }
}

#[cfg(test)]
mod tests;
