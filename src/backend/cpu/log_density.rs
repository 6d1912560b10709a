//! Log densities of vectors under independent Gaussians.

use super::elementwise::store;
use super::{Io, Real};

/// Sum over all parts, in f64.
pub fn forward<T: Real>(io: &Io<T>) {
    let parts = (0..io.reads()).step_by(3);
    let total = parts.map(|read| density(io.read(read), io.read(read + 1), io.read(read + 2))).sum();
    store(io.adds(0), &mut io.write(0)[0], T::of(total));
}

/// Sum of -(ln 2 pi + v + (z - mean)^2 e^-v) / 2
fn density<T: Real>(z: &[T], mean: &[T], log_variance: &[T]) -> f64 {
    let term = |((&z, &mean), &v): ((&T, &T), &T)| {
        let distance = z.f64() - mean.f64();
        -0.5 * (std::f64::consts::TAU.ln() + v.f64() + distance * distance * (-v.f64()).exp())
    };
    z.iter().zip(mean).zip(log_variance).map(term).sum()
}

/// With u = (z - mean) e^-v: dz = -d u, dmean = d u, dv = d ((z - mean) u - 1) / 2
pub fn grad<T: Real>(io: &Io<T>) {
    let d = io.read(io.writes())[0];
    for part in (0..io.writes()).step_by(3) {
        let [z, mean, log_variance] = [0, 1, 2].map(|read| io.read(part + read));
        let adds = [0, 1, 2].map(|write| io.adds(part + write));
        let [dz, dmean, dv] = [0, 1, 2].map(|write| io.write(part + write));
        for (i, ((&z, &mean), &v)) in z.iter().zip(mean).zip(log_variance).enumerate() {
            let distance = z - mean;
            let u = distance * (-v).exp();
            store(adds[0], &mut dz[i], -(d * u));
            store(adds[1], &mut dmean[i], d * u);
            store(adds[2], &mut dv[i], T::of(0.5) * d * (distance * u - T::ONE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_density_is_that_of_a_gaussian() {
        for (z, mean, variance) in [(0.0, 0.0, 1.0), (1.5, -0.5, 0.3), (-2.0, 0.25, 4.0)] {
            let normal = (-0.5 * f64::powi(z - mean, 2) / variance).exp() / (std::f64::consts::TAU * variance).sqrt();
            let found = density(&[z, z], &[mean, mean], &[f64::ln(variance); 2]);
            assert!((found - 2.0 * normal.ln()).abs() <= 1e-12, "{z} {mean} {variance}: {found}");
        }
    }
}
