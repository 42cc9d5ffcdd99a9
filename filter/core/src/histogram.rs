//! Histogram of request durations with logarithmic buckets. Addition is exact and commutative, so
//! histograms of sidecars, threads and intervals can be merged in any order.
//!
//! Each octave from 64 µs to 134 s is divided into eight buckets of equal width, so the middle of a
//! bucket is within 6.25 % of every value in it. One bucket at each end holds faster and slower
//! requests.

use std::time::Duration;

use tidegate_proto::report::v1::Histogram as Message;

use crate::sparse;
pub use crate::sparse::HistogramError;

const FIRST_OCTAVE: u32 = 6; // 2^6 µs = 64 µs
const LAST_OCTAVE: u32 = 27; // 2^27 µs = 134 s
const PER_OCTAVE_BITS: u32 = 3;
const PER_OCTAVE: usize = 1 << PER_OCTAVE_BITS;
/// Number of buckets: one below 64 µs, eight per octave, one from 134 s up.
pub const LEN: usize = 2 + (LAST_OCTAVE - FIRST_OCTAVE) as usize * PER_OCTAVE;

/// Counts of request durations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; LEN]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; LEN]) }
    }
}

impl Histogram {
    /// Counts one request.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(index(micros)) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds another histogram's counts to this one's.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// Whether each bucket of another histogram has at most as many requests as this one's.
    #[must_use]
    pub fn includes(&self, part: &Self) -> bool {
        self.counts.iter().zip(part.counts.iter()).all(|(mine, theirs)| theirs <= mine)
    }

    /// Requests counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// A lower bound of the requests that took at least `limit`: the buckets whose lower bound is
    /// at or above it. It never exceeds the true count, and may miss requests up to one bucket's
    /// width (12.5 %) above the limit.
    #[must_use]
    pub fn count_above(&self, limit: Duration) -> u64 {
        self.counts
            .iter()
            .enumerate()
            .filter(|&(bucket, _)| lower_bound(bucket) >= limit)
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Takes another histogram's counts away; below zero there are none.
    pub fn remove(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine = mine.saturating_sub(*theirs);
        }
    }

    /// Requests in this bucket and all slower ones.
    #[must_use]
    pub fn count_from(&self, bucket: usize) -> u64 {
        self.counts.iter().skip(bucket).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The quantile `q` (`0.0..=1.0`), as the middle of its bucket, or the lower bound of the last
    /// bucket. `None` without requests.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        self.bucket_of_quantile(q).map(middle)
    }

    /// The bucket of the quantile `q` (`0.0..=1.0`). `None` without requests.
    #[must_use]
    pub fn bucket_of_quantile(&self, q: f64) -> Option<usize> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates and q is clamped; a rank off by 2^-53 is the same bucket"
        )]
        let rank = ((total as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut cumulative = 0_u64;
        for (bucket, count) in self.counts.iter().enumerate() {
            cumulative = cumulative.saturating_add(*count);
            if cumulative >= rank {
                return Some(bucket);
            }
        }
        None
    }
}

impl Histogram {
    /// The sum of the durations in seconds, each taken as the middle of its bucket.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sum of approximate durations")]
    pub fn sum_seconds(&self) -> f64 {
        let counts = self.counts.iter().enumerate();
        counts.map(|(bucket, &count)| middle(bucket).as_secs_f64() * count as f64).sum()
    }

    /// The requests of each octave with the duration below which they are: 1.024 ms (also all faster ones), 2.048 ms, …,
    /// 16.8 s, and `None` for all slower ones.
    pub fn octaves(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        const FIRST: u32 = 10; // 2^10 µs = 1.024 ms
        const LAST: u32 = 24; // 2^24 µs = 16.8 s
        let bound = |octave| Duration::from_micros(1_u64 << octave);
        let bounds = (FIRST..=LAST).map(bound);
        let mut from = Duration::ZERO;
        bounds.map(Some).chain([None]).map(move |below| {
            let buckets = self.counts.iter().enumerate();
            let within = buckets.filter(|&(bucket, _)| {
                let lower = lower_bound(bucket);
                lower >= from && below.is_none_or(|below| lower < below)
            });
            let count = within.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
            from = below.unwrap_or(from);
            (below, count)
        })
    }
}

impl From<&Histogram> for Message {
    fn from(histogram: &Histogram) -> Self {
        sparse::encode(histogram.counts.as_slice())
    }
}

impl TryFrom<&Message> for Histogram {
    type Error = HistogramError;

    fn try_from(message: &Message) -> Result<Self, HistogramError> {
        let mut histogram = Self::default();
        sparse::decode(message, histogram.counts.as_mut_slice())?;
        Ok(histogram)
    }
}

/// The bucket of a duration: its octave, and the three bits below the leading one.
fn index(micros: u64) -> usize {
    let Some(octave) = micros.checked_ilog2().filter(|&o| o >= FIRST_OCTAVE) else {
        return 0;
    };
    if octave >= LAST_OCTAVE {
        return LEN - 1;
    }
    let part = (micros >> (octave - PER_OCTAVE_BITS)) & (PER_OCTAVE as u64 - 1);
    1 + (octave - FIRST_OCTAVE) as usize * PER_OCTAVE + usize::try_from(part).unwrap_or_default()
}

/// The first bucket without a duration below `limit`, or the last one.
#[must_use]
pub fn first_bucket_above(limit: Duration) -> usize {
    (0..LEN).find(|bucket| lower_bound(*bucket) >= limit).unwrap_or(LEN - 1)
}

/// The shortest duration of a bucket.
#[must_use]
pub fn lower_bound(bucket: usize) -> Duration {
    let Some(above) = bucket.checked_sub(1) else {
        return Duration::ZERO;
    };
    let octave = above / PER_OCTAVE;
    let part = (above % PER_OCTAVE) as u64;
    let micros = (PER_OCTAVE as u64 + part) << (octave + (FIRST_OCTAVE - PER_OCTAVE_BITS) as usize);
    Duration::from_micros(micros)
}

fn middle(bucket: usize) -> Duration {
    if bucket + 1 >= LEN {
        return lower_bound(LEN - 1);
    }
    (lower_bound(bucket) + lower_bound(bucket + 1)) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &micros in micros {
            histogram.record(Duration::from_micros(micros));
        }
        histogram
    }

    #[test]
    fn bucket_bounds_are_as_documented() {
        assert_eq!(LEN, 170);
        assert_eq!(index(0), 0);
        assert_eq!(index(63), 0);
        assert_eq!(index(64), 1);
        assert_eq!(index((1 << 27) - 1), LEN - 2);
        assert_eq!(index(1 << 27), LEN - 1);
        assert_eq!(index(u64::MAX), LEN - 1);
        assert_eq!(lower_bound(1), Duration::from_micros(64));
        assert_eq!(lower_bound(LEN - 1), Duration::from_micros(1 << 27));
    }

    #[test]
    fn quantiles_find_the_slow_tail() {
        let histogram = of(&[vec![1_000; 99], vec![8_000_000]].concat());
        let close = |q, micros: f64| {
            let got = histogram.quantile(q).unwrap().as_micros() as f64;
            assert!((got / micros - 1.0).abs() < 0.07, "{q}: {got}");
        };
        close(0.0, 1_000.0);
        close(0.99, 1_000.0);
        close(0.995, 8_000_000.0);
        close(1.0, 8_000_000.0);
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert!(histogram.quantile(f64::NAN).is_some());
    }

    #[test]
    fn buckets_are_counted_from_and_taken_away() {
        let mut histogram = of(&[100, 5_000, 5_000, 90_000]);
        let limit = Duration::from_millis(5);
        assert_eq!(histogram.count_from(first_bucket_above(limit)), 1, "5 ms is within a bucket");
        assert_eq!(histogram.count_from(index(5_000)), 3);
        assert_eq!(histogram.bucket_of_quantile(0.5), Some(index(5_000)));
        assert_eq!(first_bucket_above(Duration::ZERO), 0);
        assert_eq!(first_bucket_above(Duration::MAX), LEN - 1);
        // A second was not counted.
        histogram.remove(&of(&[5_000, 1_000_000]));
        assert_eq!(histogram, of(&[100, 5_000, 90_000]));
    }

    #[test]
    fn malformed_messages_are_rejected() {
        let rejected = |index: &[u32], count: &[u64]| {
            Histogram::try_from(&Message { index: index.to_vec(), count: count.to_vec() })
                .unwrap_err()
        };
        assert_eq!(rejected(&[1], &[]), HistogramError::Lengths { indexes: 1, counts: 0 });
        assert_eq!(rejected(&[2, 2], &[1, 1]), HistogramError::Order(2));
        assert_eq!(rejected(&[2, 1], &[1, 1]), HistogramError::Order(1));
        assert_eq!(rejected(&[170], &[1]), HistogramError::Range { index: 170, buckets: LEN });
        assert_eq!(rejected(&[0, 1], &[u64::MAX, 1]), HistogramError::Overflow);
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_bucket(micros in 0..1_u64 << 40) {
            let bucket = index(micros);
            prop_assert!(lower_bound(bucket) <= Duration::from_micros(micros));
            if bucket + 1 < LEN {
                prop_assert!(lower_bound(bucket + 1) > Duration::from_micros(micros));
            }
            if (64..1 << 27).contains(&micros) {
                let ratio = middle(bucket).as_secs_f64() * 1e6 / micros as f64;
                prop_assert!((ratio - 1.0).abs() <= 0.0626, "{}", ratio);
            }
        }

        #[test]
        fn merging_is_associative_and_commutative(
            a in prop::collection::vec(0..1_u64 << 30, 0..20),
            b in prop::collection::vec(0..1_u64 << 30, 0..20),
            c in prop::collection::vec(0..1_u64 << 30, 0..20),
        ) {
            let (a, b, c) = (of(&a), of(&b), of(&c));
            let merged = |x: &Histogram, y: &Histogram| { let mut x = x.clone(); x.merge(y); x };
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        }

        #[test]
        fn encoding_round_trips(values in prop::collection::vec(0..1_u64 << 30, 0..50)) {
            let histogram = of(&values);
            prop_assert_eq!(Histogram::try_from(&Message::from(&histogram)).unwrap(), histogram);
        }

        #[test]
        fn octaves_and_sum_are_those_of_the_values(
            values in prop::collection::vec(64..1_u64 << 27, 1..50),
        ) {
            let histogram = of(&values);
            let mut from = 0;
            for (below, count) in histogram.octaves() {
                let below = below.map_or(u64::MAX, |it| u64::try_from(it.as_micros()).unwrap());
                let exact = values.iter().filter(|&&it| (from..below).contains(&it)).count() as u64;
                prop_assert_eq!(count, exact, "from {} to {}", from, below);
                from = below;
            }
            let sum = values.iter().sum::<u64>() as f64 / 1e6;
            prop_assert!((histogram.sum_seconds() / sum - 1.0).abs() <= 0.0626);
        }

        #[test]
        fn count_above_never_counts_a_request_within_the_limit(
            values in prop::collection::vec(0..1_u64 << 28, 0..50),
            limit in 0..1_u64 << 28,
        ) {
            let counted = of(&values).count_above(Duration::from_micros(limit));
            let exact = values.iter().filter(|&&v| v >= limit).count() as u64;
            let lower = values.iter().filter(|&&v| v as f64 >= limit as f64 * 1.125 + 64.0).count() as u64;
            prop_assert!(counted <= exact);
            if limit <= 1 << 26 { prop_assert!(counted >= lower); }
        }
    }
}
