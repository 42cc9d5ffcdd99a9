//! How busy instances said they were: samples in whole percents, exact under addition.

use tidegate_proto::report::v1::Histogram as Message;

use crate::sparse::{self, HistogramError};

/// One bucket for each whole percent, and one for all that is above 100.
const LEN: usize = 102;

/// Samples of one resource's use. Takes no memory until there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UtilizationHistogram {
    counts: Option<Box<[u64; LEN]>>,
}

impl UtilizationHistogram {
    /// Takes a sample: a fraction, `1.0` is all that there is.
    pub fn record(&mut self, fraction: f64) {
        if let Some(count) = self.buckets().get_mut(index(fraction)) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds another's samples to this one's.
    pub fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.counts else {
            return;
        };
        for (mine, theirs) in self.buckets().iter_mut().zip(theirs.iter()) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// Samples taken.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts().iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Samples that surely were above a limit, in parts per million: up to one percent above it may
    /// be missed, and nothing at it or below is blamed.
    #[must_use]
    pub fn count_above(&self, limit_ppm: u32) -> u64 {
        let above = |percent: u64| percent * 10_000 > u64::from(limit_ppm);
        let counts = (0..).zip(self.counts());
        counts
            .filter(|(percent, _)| above(*percent))
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
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
    reason = "a float cast saturates, and the result is cut to the buckets there are"
)]
fn index(fraction: f64) -> usize {
    // `0.29 * 100.0` is a hair below 29.
    ((fraction * 100.0 + 1e-9) as usize).min(LEN - 1)
}

impl From<&UtilizationHistogram> for Option<Message> {
    fn from(utilization: &UtilizationHistogram) -> Self {
        utilization.counts.as_ref().map(|counts| sparse::write(counts.as_slice()))
    }
}

impl TryFrom<&Message> for UtilizationHistogram {
    type Error = HistogramError;

    fn try_from(message: &Message) -> Result<Self, HistogramError> {
        let mut utilization = Self::default();
        sparse::read(message, utilization.buckets().as_mut_slice())?;
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
    fn only_what_is_surely_above_counts() {
        let samples = of(&[0.0, 0.29, 0.8, 0.809, 0.81, 0.95, 1.0, 1.7, f64::NAN, -3.0]);
        assert_eq!(samples.total(), 10);
        assert_eq!(samples.count_above(800_000), 4);
        assert_eq!(samples.count_above(950_000), 2);
        assert_eq!(samples.count_above(1_000_000), 1);
        assert_eq!(samples.count_above(280_000), 7);
    }

    proptest! {
        #[test]
        fn survives_the_wire_and_adds_up(
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
