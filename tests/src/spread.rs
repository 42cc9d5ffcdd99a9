//! Measurements as noisy machines allow: never one number, always how they spread.

use std::fmt;
use std::time::Duration;

/// Many measurements of one thing.
#[derive(Debug, Default, Clone)]
pub struct Spread {
    sorted: Vec<Duration>,
}

impl FromIterator<Duration> for Spread {
    fn from_iter<I: IntoIterator<Item = Duration>>(measured: I) -> Self {
        let mut sorted: Vec<_> = measured.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

impl Spread {
    /// The measurement that a share of them does not exceed; zero if there is none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into a list of measurements, which is short and not negative"
        )]
        let rank = (self.sorted.len() as f64 * share.clamp(0.0, 1.0)).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// `min 210  p25 260  p50 300  p75 350  p99 480  max 480 ms (20)`
impl fmt::Display for Spread {
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
        let spread: Spread = (1..=20).rev().map(Duration::from_millis).collect();
        let quantiles = [0.0, 0.25, 0.5, 0.99, 1.0].map(|q| spread.quantile(q).as_millis());
        assert_eq!(quantiles, [1, 5, 10, 20, 20]);
        assert_eq!(Spread::default().quantile(0.5), Duration::ZERO);
    }
}
