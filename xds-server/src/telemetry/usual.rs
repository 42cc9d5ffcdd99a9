//! What is usual for the stable version of a release: how long its clients wait for an answer. It is fixed when the release
//! starts, or as soon as enough requests of stable are known, so that cumulative counts by it stay comparable.

use std::time::Duration;

use tidegate_core::histogram::{Histogram, first_bucket_above, lower_bound};
use tidegate_core::report::LEAST_UNANSWERED;
use tidegate_delivery::judge::statistics::two_by_two::{QUANTILES, SlowerRequests};

/// A client that gives up sooner may be impatient.
pub(super) const UNANSWERED: Duration = LEAST_UNANSWERED;
/// A client that waited so many times the 99th percentile of stable had no answer in the usual time.
const UNUSUAL: u32 = 2;
/// Longest time after which a request that was given up counts as unanswered.
const MOST: Duration = Duration::from_secs(60);
/// Fewest requests of stable from which its quantiles are taken. They are taken again with ten and with a hundred times as many.
const ENOUGH: u64 = 1_000;
/// The compared quantiles of stable.
const SHARES: [f64; QUANTILES] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999];
/// The margin of the candidate in buckets: at least 1.23 times as slow.
const MARGIN_BUCKETS: usize = 3;
/// The least margin: a version with little traffic has colder caches and connections.
const MARGIN: Duration = Duration::from_millis(5);

/// How the waits of one version are counted.
#[derive(Debug, Clone)]
pub struct Usual {
    /// A request that a client gave up later than this is unanswered.
    pub answer: Duration,
    pub(super) quantiles: Option<Quantiles>,
    pub(super) is_stable: bool,
    /// What was counted before the quantiles were known.
    pub(super) before: Option<Histogram>,
}

/// The histogram buckets at the quantiles of stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantiles([usize; QUANTILES]);

impl Quantiles {
    /// How often the quantiles have been taken from so many requests; 0 with too few.
    pub(super) fn epoch(requests: u64) -> u32 {
        let times = |factor: u64| u32::from(requests >= ENOUGH * factor);
        times(1) + times(10) + times(100)
    }

    /// `None` with too few requests.
    pub(super) fn of(stable: &Histogram) -> Option<Self> {
        if stable.total() < ENOUGH {
            return None;
        }
        // Slower than the bucket of the quantile.
        let bucket = |share| stable.bucket_of_quantile(share).unwrap_or_default().saturating_add(1);
        Some(Self(SHARES.map(bucket)))
    }
}

impl Usual {
    /// The waits above each quantile of stable; of the candidate, those above it by the margin.
    pub(super) fn slower(&self, waits: &Histogram) -> SlowerRequests {
        let Some(Quantiles(buckets)) = self.quantiles else {
            return SlowerRequests::default();
        };
        let none = Histogram::default();
        let before = self.before.as_ref().unwrap_or(&none);
        let since = |count: fn(&Histogram, usize) -> u64, bucket| {
            count(waits, bucket).saturating_sub(count(before, bucket))
        };
        let all = since(Histogram::count_from, 0);
        let from = |bucket: usize| {
            if self.is_stable {
                return bucket;
            }
            let least = first_bucket_above(lower_bound(bucket).saturating_add(MARGIN));
            bucket.saturating_add(MARGIN_BUCKETS).max(least)
        };
        let bad = buckets.map(|bucket| since(Histogram::count_from, from(bucket)).min(all));
        SlowerRequests { all, bad }
    }
}

/// The time after which a request that its client gave up is unanswered, by the latency of stable.
pub(super) fn usual_answer(stable: &Histogram) -> Duration {
    if stable.total() < ENOUGH {
        return UNANSWERED;
    }
    let usual = stable.quantile(0.99).unwrap_or_default();
    usual.saturating_mul(UNUSUAL).clamp(UNANSWERED, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(requests: u64, millis: u64) -> Histogram {
        let mut histogram = Histogram::default();
        (0..requests).for_each(|_| histogram.record(Duration::from_millis(millis)));
        histogram
    }

    fn usual(is_stable: bool, before: Option<Histogram>) -> Usual {
        let quantiles = Quantiles::of(&of(1_000, 20));
        Usual { answer: UNANSWERED, quantiles, is_stable, before }
    }

    #[test]
    fn what_is_unanswered_depends_on_the_latency_of_stable() {
        assert_eq!(usual_answer(&of(10, 9_000)), UNANSWERED, "too few requests");
        assert_eq!(usual_answer(&of(1_000, 20)), UNANSWERED);
        let slow = usual_answer(&of(1_000, 4_000));
        assert!((7_500..8_500).contains(&slow.as_millis()), "{slow:?}");
        assert_eq!(usual_answer(&of(1_000, 100_000)), MOST);
        assert_eq!(Quantiles::of(&of(999, 20)), None);
        assert_eq!([999, 1_000, 9_999, 10_000, 1 << 40].map(Quantiles::epoch), [0, 1, 1, 2, 3]);
    }

    #[test]
    fn the_candidate_has_a_margin() {
        let above = |is_stable, millis| usual(is_stable, None).slower(&of(1, millis)).bad[0];
        assert_eq!((above(true, 20), above(true, 24)), (0, 1));
        assert_eq!((above(false, 24), above(false, 30)), (0, 1));
        // At a millisecond a quarter more is nothing.
        let quantiles = Quantiles::of(&of(1_000, 1));
        let fast = Usual { quantiles, ..usual(false, None) };
        assert_eq!((fast.slower(&of(1, 5)).bad[0], fast.slower(&of(1, 7)).bad[0]), (0, 1));
    }

    #[test]
    fn what_was_counted_before_is_not_compared() {
        let mut waits = of(5, 500);
        waits.merge(&of(2, 10));
        let slower = usual(false, Some(of(3, 500))).slower(&waits);
        assert_eq!(slower, SlowerRequests { all: 4, bad: [2; QUANTILES] });
        let unknown = Usual { quantiles: None, ..usual(false, None) };
        assert_eq!(unknown.slower(&waits), SlowerRequests::default());
    }
}
