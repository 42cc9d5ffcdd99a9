//! How long effects wait before they try again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Waits that double, each somewhat longer by chance, so that receivers that came back are not all
/// asked in the same moment.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The first wait.
    pub first: Duration,
    /// None is longer, chance aside.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }
}

impl Pace {
    /// So many waits.
    pub(super) fn waits(self, count: u32) -> impl Iterator<Item = Duration> + Send + use<> {
        self.builder().with_max_times(usize::try_from(count).unwrap_or(usize::MAX)).build()
    }

    /// Waits without end.
    pub(super) fn endless(self) -> impl Iterator<Item = Duration> + Send + use<> {
        let longest = self.longest;
        self.builder().without_max_times().build().chain(std::iter::repeat(longest))
    }

    fn builder(self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_jitter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_end_where_they_should() {
        let pace = Pace { first: Duration::from_secs(1), longest: Duration::from_secs(4) };
        let waits: Vec<Duration> = pace.waits(5).collect();
        assert_eq!(waits.len(), 5);
        assert!(waits.iter().all(|wait| *wait >= pace.first && *wait <= 2 * pace.longest));
        assert!(waits[4] >= pace.longest);
        assert_eq!(pace.endless().take(1000).count(), 1000);
    }
}
