//! Histogram of an instance's resource utilization, in whole percent. Addition is exact.

use tidegate_proto::report::v1::Histogram as Message;

use crate::sparse::{self, HistogramError};

/// One bucket for each whole percent from 0 to 100, and one for everything above.
const LEN: usize = 102;

/// Utilization samples of one resource. Allocates on the first sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UtilizationHistogram {
    counts: Option<Box<[u64; LEN]>>,
}

impl UtilizationHistogram {
    /// Records a sample; `1.0` is the full capacity.
    pub fn record(&mut self, fraction: f64) {
        if let Some(count) = self.buckets().get_mut(index(fraction)) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds another histogram's samples to this one's.
    pub fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.counts else {
            return;
        };
        for (mine, theirs) in self.buckets().iter_mut().zip(theirs.iter()) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// Samples recorded.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts().iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// A lower bound of the samples above `limit_ppm`, in parts per million. It never counts a
    /// sample at or below the limit, and may miss samples up to one percentage point above it.
    #[must_use]
    pub fn count_above(&self, limit_ppm: u32) -> u64 {
        let above = |percent: u64| percent * 10_000 > u64::from(limit_ppm);
        let counts = (0..).zip(self.counts());
        counts
            .filter(|(percent, _)| above(*percent))
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The samples of each tenth, with the percentage below which they are: 10, 20, …, 100, and `None` for all others.
    pub fn tenths(&self) -> impl Iterator<Item = (Option<u32>, u64)> + '_ {
        let bounds = (1..=10).map(|tenth| Some(tenth * 10)).chain([None]);
        let sums = self
            .counts()
            .chunks(10)
            .map(|tenth| tenth.iter().fold(0, |sum: u64, it| sum.saturating_add(*it)));
        bounds.zip(sums.chain(std::iter::repeat(0)))
    }

    /// The sum of the samples, each taken as the middle of its bucket; `1.0` is the full capacity.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sum of approximate samples")]
    pub fn sum(&self) -> f64 {
        let counts = (0_u32..).zip(self.counts());
        counts.map(|(percent, &count)| (f64::from(percent) + 0.5) / 100.0 * count as f64).sum()
    }

    fn counts(&self) -> &[u64] {
        self.counts.as_ref().map_or(&[], |counts| counts.as_slice())
    }

    fn buckets(&mut self) -> &mut [u64; LEN] {
        self.counts.get_or_insert_with(|| Box::new([0; LEN]))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and the result is clamped to the last bucket"
)]
fn index(fraction: f64) -> usize {
    // The tolerance makes up for `0.29 * 100.0` being slightly below 29.
    ((fraction * 100.0 + 1e-9) as usize).min(LEN - 1)
}

impl From<&UtilizationHistogram> for Option<Message> {
    fn from(utilization: &UtilizationHistogram) -> Self {
        utilization.counts.as_ref().map(|counts| sparse::encode(counts.as_slice()))
    }
}

impl TryFrom<&Message> for UtilizationHistogram {
    type Error = HistogramError;

    fn try_from(message: &Message) -> Result<Self, HistogramError> {
        let mut utilization = Self::default();
        sparse::decode(message, utilization.buckets().as_mut_slice())?;
        Ok(utilization)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(fractions: &[f64]) -> UtilizationHistogram {
        let mut utilization = UtilizationHistogram::default();
        fractions.iter().for_each(|fraction| utilization.record(*fraction));
        utilization
    }

    #[test]
    fn count_above_excludes_samples_at_the_limit() {
        let samples = of(&[0.0, 0.29, 0.8, 0.809, 0.81, 0.95, 1.0, 1.7, f64::NAN, -3.0]);
        assert_eq!(samples.total(), 10);
        assert_eq!(samples.count_above(800_000), 4);
        assert_eq!(samples.count_above(950_000), 2);
        assert_eq!(samples.count_above(1_000_000), 1);
        assert_eq!(samples.count_above(280_000), 7);
    }

    proptest! {
        #[test]
        fn encoding_round_trips_and_merging_adds_up(
            a in prop::collection::vec(0.0..1.5_f64, 1..50),
            b in prop::collection::vec(0.0..1.5_f64, 0..50),
        ) {
            let mut sum = of(&a);
            let message = Option::<Message>::from(&sum).unwrap();
            prop_assert_eq!(&UtilizationHistogram::try_from(&message).unwrap(), &sum);
            sum.merge(&of(&b));
            prop_assert_eq!(sum, of(&[a, b].concat()));
        }
    }
}
