//! How much the rate of failures varies from block to block beyond chance, learnt from stable.
//!
//! `κ` is the squared coefficient of variation of the rate. Its estimate is the excess of the squared residuals over their
//! means, per squared mean. The means forget in two minutes, so slow changes such as the time of day are no jitter. The
//! blocks with the largest residuals are left out: an outage must not blind the judge for half an hour. Without
//! failures it is [`UNKNOWN`].

use super::{Units, float, likelihood};

/// The time in which the expected rate forgets, in seconds.
const MEMORY_SECONDS: f64 = 120.0;
/// Doubles the estimate, because the largest residuals are left out and the estimate is itself uncertain.
const CAUTION: f64 = 2.0;
/// One block of so many is left out, and at least one: 90 s of half an hour.
pub const LEFT_OUT: usize = 20;
/// The same of the latency: 25 s of half an hour. Rare pauses of a version are its usual jitter.
pub const LEFT_OUT_OF_LATENCY: usize = 72;
/// The jitter without failures to learn from.
pub const UNKNOWN: f64 = 0.2;

/// `κ` of consecutive blocks of one length, oldest first, without one block of so many, limited to what [`likelihood`] uses.
#[must_use]
pub fn estimate(blocks: impl Iterator<Item = Units>, block_seconds: f64, left_out: usize) -> f64 {
    let forget = (-block_seconds / MEMORY_SECONDS).exp();
    let (mut bad, mut all) = (0.0, 0.0);
    let mut terms: Vec<(f64, f64)> = Vec::new();
    for block in blocks {
        if all > 0.0 && block.all > 0 {
            let mean = float(block.all) * bad / all;
            let residual = float(block.bad) - mean;
            // The observed count is subtracted, not the mean: an unbiased estimate of the variance by chance.
            terms.push((residual * residual - float(block.bad), mean * mean));
        }
        bad = bad * forget + float(block.bad);
        all = all * forget + float(block.all);
    }
    let kept = terms.len().saturating_sub(terms.len().div_ceil(left_out.max(1)));
    if kept < terms.len() {
        terms.select_nth_unstable_by(kept, |a, b| a.0.total_cmp(&b.0));
    }
    let (excess, squares) =
        terms.iter().take(kept).fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    let kappa = CAUTION * (excess + UNKNOWN / CAUTION) / (squares + 1.0);
    kappa.clamp(likelihood::MIN_JITTER, likelihood::MAX_JITTER)
}
