//! Delays between the attempts of an effect.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Exponential backoff with jitter: each delay is twice the last, plus a random part that spreads the retries of many
/// tasks.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first delay.
    pub initial: Duration,
    /// Upper bound of a delay, without jitter.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// `count` delays.
    pub(super) fn delays(self, count: u32) -> impl Iterator<Item = Duration> + Send + use<> {
        self.builder().with_max_times(usize::try_from(count).unwrap_or(usize::MAX)).build()
    }

    /// Delays without end.
    pub(super) fn unlimited(self) -> impl Iterator<Item = Duration> + Send + use<> {
        self.builder().without_max_times().build().chain(std::iter::repeat(self.max))
    }

    fn builder(self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.initial)
            .with_max_delay(self.max)
            .with_jitter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_maximum_and_have_the_wanted_number() {
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(4) };
        let delays: Vec<Duration> = backoff.delays(5).collect();
        assert_eq!(delays.len(), 5);
        assert!(delays.iter().all(|it| *it >= backoff.initial && *it <= 2 * backoff.max));
        assert!(delays[4] >= backoff.max);
        assert_eq!(backoff.unlimited().take(1000).count(), 1000);
    }
}
