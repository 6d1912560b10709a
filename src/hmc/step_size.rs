//! The step size by dual averaging (Hoffman & Gelman 2014, "The No-U-Turn sampler", section 3.2.1, equation 6).

const GAMMA: f64 = 0.05;
const T0: f64 = 10.0;
const KAPPA: f64 = 0.75;

/// Moves the logarithm of a step size until trajectories are accepted as often as wanted.
pub struct DualAveraging {
    wanted: f64,
    /// ln of ten times the first step size, towards which early steps are pulled.
    mu: f64,
    /// Mean of wanted minus found, recent ones weighing more.
    error: f64,
    current: f64,
    average: f64,
    updates: f64,
}

impl DualAveraging {
    pub fn new(first: f64, wanted: f64) -> Self {
        let (mu, current) = ((10.0 * first).ln(), first.ln());
        Self { wanted, mu, error: 0.0, current, average: current, updates: 0.0 }
    }

    /// The step size to try next.
    pub fn current(&self) -> f64 {
        self.current.exp()
    }

    /// The step size after burn-in: the average of those tried, late ones weighing more.
    pub fn settled(&self) -> f64 {
        self.average.exp()
    }

    /// Takes in the probability with which the last trajectories were accepted.
    pub fn update(&mut self, accepted: f64) {
        self.updates += 1.0;
        let t = self.updates;
        self.error += (self.wanted - accepted - self.error) / (t + T0);
        self.current = self.mu - t.sqrt() / GAMMA * self.error;
        let weight = t.powf(-KAPPA);
        self.average += weight * (self.current - self.average);
    }
}
