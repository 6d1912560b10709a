//! Have chains mixed, and what are their draws worth? Split R-hat and effective sample size (Gelman et al. 2013, "Bayesian data
//! analysis", third edition, sections 11.4 and 11.5).

/// Potential scale reduction of the halves of chains [C][draws]: near 1 when every half tells of the same distribution. NaN for
/// fewer than 4 draws of a chain; 1 when all are the same number.
pub fn split_r_hat(chains: &[Vec<f64>]) -> f64 {
    let halves = halves(chains);
    let Some(n) = halves.first().map(|half| half.len()).filter(|&n| n >= 2) else { return f64::NAN };
    let (within, plus) = variances(&halves, n);
    if plus == 0.0 { 1.0 } else { (plus / within).sqrt() }
}

/// Independent draws that would tell the mean as well as those of all chains [C][draws]: C n / (1 + 2 sum of autocorrelations),
/// the sum ending where two successive ones first add up to less than 0 (Geyer 1992), no more than there are draws. NaN for fewer
/// than 4 draws of a chain.
pub fn effective_sample_size(chains: &[Vec<f64>]) -> f64 {
    let halves = halves(chains);
    let Some(n) = halves.first().map(|half| half.len()).filter(|&n| n >= 2) else { return f64::NAN };
    let (_, plus) = variances(&halves, n);
    let all = (halves.len() * n) as f64;
    if plus == 0.0 {
        return all;
    }
    let correlation = |lag: usize| 1.0 - variogram(&halves, lag) / (2.0 * plus);
    let mut sum = 0.0;
    let mut lag = 1;
    let mut even = 1.0;
    let mut least = f64::INFINITY;
    while lag < n {
        let odd = correlation(lag);
        // Pairs of an even and the next odd lag are positive and falling for a reversible chain; what is not is noise.
        let pair = (even + odd).min(least);
        if pair < 0.0 || pair.is_nan() {
            break;
        }
        least = pair;
        sum += pair;
        if lag + 1 >= n {
            break;
        }
        even = correlation(lag + 1);
        lag += 2;
    }
    (all / (2.0 * sum - 1.0)).min(all)
}

/// First and second half of each chain, all of one length.
fn halves(chains: &[Vec<f64>]) -> Vec<&[f64]> {
    let n = chains.iter().map(Vec::len).min().unwrap_or(0) / 2;
    chains.iter().flat_map(|chain| [&chain[..n], &chain[chain.len() - n..]]).collect()
}

/// W, the mean variance within a sequence, and var+ = (n - 1)/n W + B/n, the estimate of the variance that grows with the distance
/// between sequences (equations 11.1 to 11.3).
fn variances(sequences: &[&[f64]], n: usize) -> (f64, f64) {
    let means: Vec<f64> = sequences.iter().map(|x| mean(x)).collect();
    let within = sequences.iter().map(|x| variance(x)).sum::<f64>() / sequences.len() as f64;
    let between = variance(&means);
    (within, (n - 1) as f64 / n as f64 * within + between)
}

/// V_t, the mean square of the difference of draws t apart (equation 11.7).
fn variogram(sequences: &[&[f64]], lag: usize) -> f64 {
    let squares = |x: &[f64]| x[lag..].iter().zip(x).map(|(b, a)| (b - a) * (b - a)).sum::<f64>();
    let n = sequences[0].len();
    sequences.iter().map(|x| squares(x)).sum::<f64>() / (sequences.len() * (n - lag)) as f64
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// With n - 1 in the denominator.
fn variance(x: &[f64]) -> f64 {
    let mean = mean(x);
    x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (x.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::{effective_sample_size, split_r_hat};
    use crate::random::Stream;

    /// Chains x_t = rho x_{t-1} + sqrt(1 - rho^2) e_t, each moved by `shift` times its number.
    fn autoregressive(rho: f64, shift: f64) -> Vec<Vec<f64>> {
        let chain = |number: u32| {
            let mut noise = vec![0.0; 4000];
            Stream { key: [7, 0], stream: number, step: 0 }.normals_f64(0, &mut noise);
            let mut x = noise[0];
            let next = |e: &f64| {
                x = rho * x + (1.0 - rho * rho).sqrt() * e;
                x + shift * f64::from(number)
            };
            noise.iter().map(next).collect()
        };
        (0..4).map(chain).collect()
    }

    #[test]
    fn effective_size_of_an_autoregression_is_known() {
        for rho in [0.0, 0.5, 0.9] {
            let expected = 16_000.0 * (1.0 - rho) / (1.0 + rho);
            let found = effective_sample_size(&autoregressive(rho, 0.0));
            assert!((found / expected - 1.0).abs() <= 0.15, "rho {rho}: {found}, not {expected}");
        }
    }

    #[test]
    fn r_hat_sees_chains_in_different_places_and_a_chain_that_drifts() {
        let mixed = split_r_hat(&autoregressive(0.5, 0.0));
        assert!((mixed - 1.0).abs() <= 0.01, "{mixed}");
        let apart = split_r_hat(&autoregressive(0.5, 1.0));
        assert!(apart >= 1.3, "{apart}");
        let drift: Vec<f64> = (0..1000).map(f64::from).collect();
        let drifting = split_r_hat(&[drift.clone(), drift]);
        assert!(drifting >= 1.5, "{drifting}");
    }

    #[test]
    fn a_constant_has_mixed_and_too_few_draws_say_nothing() {
        assert_eq!(split_r_hat(&[vec![2.0; 10], vec![2.0; 10]]), 1.0);
        assert_eq!(effective_sample_size(&[vec![2.0; 10], vec![2.0; 10]]), 20.0);
        assert!(split_r_hat(&[vec![1.0, 2.0, 3.0]]).is_nan() && effective_sample_size(&[]).is_nan());
    }
}
