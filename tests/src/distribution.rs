//! Quantiles of repeated measurements.

use std::fmt;
use std::time::Duration;

/// Repeated measurements.
#[derive(Debug, Default, Clone)]
pub struct Distribution {
    sorted: Vec<Duration>,
}

impl FromIterator<Duration> for Distribution {
    fn from_iter<I: IntoIterator<Item = Duration>>(measured: I) -> Self {
        let mut sorted: Vec<_> = measured.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

impl Distribution {
    /// The measurement that the share `share` does not exceed; zero without measurements.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into a short list, not negative"
        )]
        let rank = (self.sorted.len() as f64 * share.clamp(0.0, 1.0)).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// `min 210  p25 260  p50 300  p75 350  p99 480  max 480 ms (20)`
impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, share) in
            [("min", 0.0), ("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p99", 0.99), ("max", 1.0)]
        {
            write!(f, "{name} {:>5}  ", self.quantile(share).as_millis())?;
        }
        write!(f, "ms ({})", self.sorted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measurements() {
        let distribution: Distribution = (1..=20).rev().map(Duration::from_millis).collect();
        let quantiles = [0.0, 0.25, 0.5, 0.99, 1.0].map(|q| distribution.quantile(q).as_millis());
        assert_eq!(quantiles, [1, 5, 10, 20, 20]);
        assert_eq!(Distribution::default().quantile(0.5), Duration::ZERO);
    }
}
