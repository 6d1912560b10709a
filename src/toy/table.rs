//! The comparison as plain text.

use super::Report;

/// One line for each method, at most 100 columns wide.
pub fn table(reports: &[&Report]) -> String {
    let mut text = format!(
        "{:<16}{:>9}{:>8}{:>9}   {:>8}{:>8}   {:>8}{:>8}{:>9}\n",
        "", "", "", "held-out", "from HMC", "", "beyond", "data", ""
    );
    text += &format!(
        "{:<16}{:>9}{:>8}{:>9}   {:>8}{:>8}   {:>8}{:>8}{:>9}\n",
        "method", "networks", "RMSE", "log-lik.", "mean", "dev.", "mean", "dev.", "seconds"
    );
    for report in reports {
        let distances = [report.distance, report.distance_outside].map(|distance| match distance {
            Some(distance) => format!("{:>8.2}{:>8.2}", distance.mean, distance.deviation),
            None => format!("{:>8}{:>8}", "-", "-"),
        });
        text += &format!(
            "{:<16}{:>9}{:>8.2}{:>9.3}   {}   {}{:>9.1}\n",
            report.method,
            report.networks,
            report.rmse,
            report.log_likelihood,
            distances[0],
            distances[1],
            report.seconds
        );
    }
    for hmc in reports.iter().filter_map(|report| report.hmc.as_ref()) {
        text += &format!(
            "\nHMC: {} chains, acceptance {:.2}, step size {:.4} x {}, largest split R-hat {:.3}, smallest effective sample size {:.0}\n\
             (of the log joint and of predictions; weights themselves are not identified: hidden units can change places)\n",
            hmc.chains, hmc.acceptance, hmc.step_size, hmc.leapfrog, hmc.r_hat, hmc.effective_samples
        );
    }
    text
}
