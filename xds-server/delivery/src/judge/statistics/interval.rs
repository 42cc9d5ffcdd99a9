//! The ratio of the rates of candidate and stable, with an interval that is valid at any time.
//!
//! The interval has the ratios whose likelihood over all blocks is not 20 times below the mean likelihood of all ratios:
//! that quotient is an e-process against the ratio, so the true ratio is outside at any time with a probability of at most
//! 5 %. The likelihood is the jittered one.

use super::float;
use super::likelihood::{LEAST, LikelihoodTable, MOST, Ratio};

/// Number of ratios of the grid.
const RATIOS: usize = 52;
/// The inverse of the probability of an interval without the true ratio, as a logarithm.
const LN_INVERSE_ERROR: f64 = 2.995_732_273_553_991;

/// The likelihood of each ratio over the blocks so far.
#[derive(Debug, Clone)]
pub struct RatioLikelihoods {
    ln: [f64; RATIOS],
}

impl Default for RatioLikelihoods {
    fn default() -> Self {
        Self { ln: [0.0; RATIOS] }
    }
}

impl RatioLikelihoods {
    /// Adds a block.
    pub fn add(&mut self, block: &LikelihoodTable<'_>) {
        for (it, ratio) in self.ln.iter_mut().zip(LEAST.0..) {
            *it += block.jittered(Ratio(ratio));
        }
    }

    /// The least and the greatest possible ratio, with a block that has not ended. None if each ratio is possible.
    #[must_use]
    pub fn interval(&self, block: &LikelihoodTable<'_>) -> Option<(Ratio, Ratio)> {
        let mut with_block = self.clone();
        with_block.add(block);
        let most = with_block.ln.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = with_block.ln.iter().map(|it| (it - most).exp()).sum();
        let count = float(u64::try_from(RATIOS).unwrap_or(u64::MAX));
        let least = most + (sum / count).ln() - LN_INVERSE_ERROR;
        let possible = || (LEAST.0..).zip(&with_block.ln).filter(|(_, ln)| **ln > least);
        let (low, high) = (possible().map(|it| it.0).min()?, possible().map(|it| it.0).max()?);
        (low > LEAST.0 || high < MOST.0).then_some((Ratio(low), Ratio(high)))
    }
}
