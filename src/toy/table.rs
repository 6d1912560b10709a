//! The comparison as plain text.

use super::Report;

/// One line for each method, at most 100 columns wide.
pub fn table(reports: &[&Report]) -> String {
    let mut text = format!(
        "{:33}{:>8}   {:<21}   {}\n{:<16}{:>8}{:>9}{:>8}   {:>7}{:>7}{:>7}   {:>7}{:>7}{:>7}{:>9}\n",
        "",
        "held-out",
        "from HMC on [-6, 6]:",
        "and beyond the data:",
        "method",
        "networks",
        "log-lik.",
        "RMSE",
        "mean",
        "dev.",
        "KL",
        "mean",
        "dev.",
        "KL",
        "seconds"
    );
    for report in reports {
        let distances = [report.distance, report.distance_outside].map(|distance| match distance {
            Some(d) => format!("{:>7.2}{:>7.2}{:>7.3}", d.mean, d.deviation, d.kl),
            None => format!("{:>7}{:>7}{:>7}", "-", "-", "-"),
        });
        text += &format!(
            "{:<16}{:>8}{:>9.3}{:>8.2}   {}   {}{:>9.1}\n",
            report.method,
            report.networks,
            report.log_likelihood,
            report.rmse,
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
