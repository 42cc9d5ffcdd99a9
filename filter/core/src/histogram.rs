//! Request durations in logarithmic buckets: small enough to send four times a second, and exact
//! under addition, so that sidecars, threads and moments can be summed in any order.
//!
//! Each octave from 64 µs to 134 s is cut into eight buckets of equal width, so a bucket's middle
//! is within 6.25 % of every value in it. Faster and slower requests share one bucket at each end.

use std::time::Duration;

use tidegate_proto::report::v1::Histogram as Message;

use crate::sparse;
pub use crate::sparse::HistogramError;

const FIRST_OCTAVE: u32 = 6; // 2^6 µs = 64 µs
const LAST_OCTAVE: u32 = 27; // 2^27 µs = 134 s
const PER_OCTAVE_BITS: u32 = 3;
const PER_OCTAVE: usize = 1 << PER_OCTAVE_BITS;
/// Buckets of a histogram: one below 64 µs, eight an octave, one from 134 s up.
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

    /// Requests counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Requests that surely took at least `limit`: only buckets that lie wholly at or above it, so a
    /// guardrail never blames a version for rounding. Up to one bucket's width (12.5 %) above the
    /// limit may be missed.
    #[must_use]
    pub fn count_above(&self, limit: Duration) -> u64 {
        self.counts
            .iter()
            .enumerate()
            .filter(|&(bucket, _)| lower_bound(bucket) >= limit)
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The duration that a share `q` (`0.0..=1.0`) of the requests did not exceed, as the middle of
    /// its bucket; `None` without requests. The last bucket answers with its lower bound.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
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
        let mut seen = 0_u64;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return Some(middle(bucket));
            }
        }
        None
    }
}

impl From<&Histogram> for Message {
    fn from(histogram: &Histogram) -> Self {
        sparse::write(histogram.counts.as_slice())
    }
}

impl TryFrom<&Message> for Histogram {
    type Error = HistogramError;

    fn try_from(message: &Message) -> Result<Self, HistogramError> {
        let mut histogram = Self::default();
        sparse::read(message, histogram.counts.as_mut_slice())?;
        Ok(histogram)
    }
}

/// The bucket of a duration: octave and the three bits below the leading one.
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

/// The least duration that falls into a bucket.
fn lower_bound(bucket: usize) -> Duration {
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
    fn bounds_are_where_the_documentation_says() {
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
    fn refuses_hostile_messages() {
        let refused = |index: &[u32], count: &[u64]| {
            Histogram::try_from(&Message { index: index.to_vec(), count: count.to_vec() })
                .unwrap_err()
        };
        assert_eq!(refused(&[1], &[]), HistogramError::Lengths { indexes: 1, counts: 0 });
        assert_eq!(refused(&[2, 2], &[1, 1]), HistogramError::Order(2));
        assert_eq!(refused(&[2, 1], &[1, 1]), HistogramError::Order(1));
        assert_eq!(refused(&[170], &[1]), HistogramError::Range { index: 170, buckets: LEN });
        assert_eq!(refused(&[0, 1], &[u64::MAX, 1]), HistogramError::Overflow);
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
        fn survives_the_wire(values in prop::collection::vec(0..1_u64 << 30, 0..50)) {
            let histogram = of(&values);
            prop_assert_eq!(Histogram::try_from(&Message::from(&histogram)).unwrap(), histogram);
        }

        #[test]
        fn never_counts_a_request_that_was_within_the_limit(
            values in prop::collection::vec(0..1_u64 << 28, 0..50),
            limit in 0..1_u64 << 28,
        ) {
            let counted = of(&values).count_above(Duration::from_micros(limit));
            let truly = values.iter().filter(|&&v| v >= limit).count() as u64;
            let surely = values.iter().filter(|&&v| v as f64 >= limit as f64 * 1.125 + 64.0).count() as u64;
            prop_assert!(counted <= truly);
            if limit <= 1 << 26 { prop_assert!(counted >= surely); }
        }
    }
}
