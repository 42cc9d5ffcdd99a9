//! The sample ratio: the share of its requests that each sidecar sends to the candidate, compared with the weight.
//!
//! The unit of the split is the client, and the sidecars do not count clients: a sidecar with few of them can be far from the
//! weight although it follows it. So only gross deviations over many requests are named, they block nothing, and they are
//! never evidence about the candidate. While a flag selects versions of the service, the intended share is unknown, and
//! nothing is compared.

use serde::{Deserialize, Serialize};

use super::progress::MAX_NAMED;
use crate::units::Ppm;

/// Fewest requests of a sidecar that are compared.
pub const LEAST_REQUESTS: u64 = 1000;
/// Fewest expected requests to the version that has too few.
const LEAST_EXPECTED: u64 = 50;
/// A version's share deviates if it is less than its weight divided by this, or more than its weight times this.
const GROSS: u64 = 4;

/// The requests of one or of all sidecars since a step began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Split {
    /// To the candidate.
    pub candidate: u64,
    /// To both versions.
    pub requests: u64,
}

/// A sidecar that deviates from the weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    /// Its `node.id`.
    pub node: String,
    /// Its requests.
    #[serde(flatten)]
    pub split: Split,
}

/// The comparison of all sidecars of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SampleRatio {
    /// All of them together, if they deviate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Split>,
    /// The first [`MAX_NAMED`] that deviate, those with the most requests first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sidecars: Vec<Deviation>,
    /// How many more deviate.
    #[serde(default)]
    pub more: u32,
}

impl Split {
    /// The counts since `earlier`; zero where those are greater.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            candidate: self.candidate.saturating_sub(earlier.candidate),
            requests: self.requests.saturating_sub(earlier.requests),
        }
    }

    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            candidate: self.candidate.saturating_add(other.candidate),
            requests: self.requests.saturating_add(other.requests),
        }
    }

    /// The share of the candidate.
    #[must_use]
    pub fn share(self) -> Ppm {
        let parts = u128::from(self.candidate.min(self.requests)) * u128::from(Ppm::ALL.parts());
        let parts = parts.checked_div(u128::from(self.requests)).unwrap_or_default();
        u32::try_from(parts).ok().and_then(|parts| Ppm::new(parts).ok()).unwrap_or_default()
    }

    /// Whether the share is far from the weight.
    #[must_use]
    pub fn deviates(self, weight: Ppm) -> bool {
        let Self { candidate, requests } = self;
        let stable = requests.saturating_sub(candidate);
        requests >= LEAST_REQUESTS
            && (is_short(candidate, requests, weight)
                || is_short(stable, requests, weight.complement())
                || is_over(candidate, requests, weight)
                || is_over(stable, requests, weight.complement()))
    }
}

/// Fewer than a quarter of the expected requests.
fn is_short(served: u64, of: u64, weight: Ppm) -> bool {
    let expected = u128::from(of) * u128::from(weight.parts());
    let one = u128::from(Ppm::ALL.parts());
    expected >= u128::from(LEAST_EXPECTED) * one
        && u128::from(served) * u128::from(GROSS) * one < expected
}

/// More than four times the expected requests.
fn is_over(served: u64, of: u64, weight: Ppm) -> bool {
    let expected = u128::from(of) * u128::from(weight.parts());
    let one = u128::from(Ppm::ALL.parts());
    served >= LEAST_EXPECTED && u128::from(served) * one > expected * u128::from(GROSS)
}

impl SampleRatio {
    /// Compares sidecars, each with its requests since the step began, with the weight.
    #[must_use]
    pub fn of<'a>(weight: Ppm, sidecars: impl Iterator<Item = (&'a str, Split)>) -> Self {
        let mut total = Split::default();
        let mut deviating: Vec<_> = sidecars
            .inspect(|(_, split)| total = total.plus(*split))
            .filter(|(_, split)| split.deviates(weight))
            .collect();
        deviating.sort_by_key(|(node, split)| (std::cmp::Reverse(split.requests), *node));
        let more = deviating.len().saturating_sub(MAX_NAMED);
        let named = deviating.into_iter().take(MAX_NAMED);
        Self {
            total: Some(total).filter(|it| it.deviates(weight)),
            sidecars: named
                .map(|(node, split)| Deviation { node: node.to_owned(), split })
                .collect(),
            more: u32::try_from(more).unwrap_or(u32::MAX),
        }
    }

    /// How many sidecars deviate.
    #[must_use]
    pub fn deviating(&self) -> u32 {
        u32::try_from(self.sidecars.len()).unwrap_or(u32::MAX).saturating_add(self.more)
    }

    /// True if nothing deviates.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total.is_none() && self.sidecars.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn split(candidate: u64, requests: u64) -> Split {
        Split { candidate, requests }
    }

    #[test]
    fn only_gross_deviations_over_many_requests_count() {
        let five = Ppm::percent(5);
        for (it, weight, deviates) in [
            (split(0, 999), five, false),
            (split(0, 1000), five, true),
            (split(12, 1000), five, true),
            (split(13, 1000), five, false),
            (split(200, 1000), five, false),
            (split(201, 1000), five, true),
            (split(1000, 1000), five, true),
            // Too few are expected to miss any.
            (split(0, 4900), Ppm::percent(1), false),
            (split(0, 5000), Ppm::percent(1), true),
            // The last step: a twentieth stays on stable.
            (split(1000, 1000), Ppm::percent(95), true),
            (split(799, 1000), Ppm::percent(95), true),
            (split(800, 1000), Ppm::percent(95), false),
            (split(124, 1000), Ppm::percent(50), true),
            (split(500, 1000), Ppm::percent(50), false),
            (split(1000, 1000), Ppm::percent(50), true),
            // Without a weight or without a stable share, none of the other version may be seen.
            (split(50, 1000), Ppm::ZERO, true),
            (split(49, 1000), Ppm::ZERO, false),
            (split(950, 1000), Ppm::ALL, true),
            (split(1000, 1000), Ppm::ALL, false),
        ] {
            assert_eq!(it.deviates(weight), deviates, "{it:?} at {weight}");
        }
    }

    #[test]
    fn deviating_sidecars_are_named_those_with_most_requests_first() {
        let names: Vec<_> = (0..8).map(|number| format!("edge-{number}")).collect();
        let counts =
            |number: u64| if number == 0 { split(500, 10_000) } else { split(0, 1000 * number) };
        let sidecars = names.iter().zip(0..).map(|(name, number)| (name.as_str(), counts(number)));
        let ratio = SampleRatio::of(Ppm::percent(5), sidecars);
        let named: Vec<_> = ratio.sidecars.iter().map(|it| it.node.as_str()).collect();
        assert_eq!(named, ["edge-7", "edge-6", "edge-5", "edge-4", "edge-3"]);
        assert_eq!((ratio.more, ratio.deviating(), ratio.total), (2, 7, None));
    }

    #[test]
    fn all_sidecars_together_are_compared_as_well() {
        let names: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        let sidecars = names.iter().map(|name| (name.as_str(), split(0, 100)));
        let ratio = SampleRatio::of(Ppm::percent(50), sidecars);
        assert_eq!((ratio.total, ratio.deviating()), (Some(split(0, 2000)), 0));
        assert!(!ratio.is_empty());
    }

    proptest! {
        /// Requests of independent clients, as many as a weight has them.
        #[test]
        fn a_share_near_the_weight_never_deviates(
            parts in 0..=1_000_000_u32,
            requests in 0..1_000_000_000_u64,
            off in -500_i64..=500,
        ) {
            let weight = Ppm::new(parts).unwrap();
            let expected = requests * u64::from(parts) / 1_000_000;
            // Within half of the smaller share, and within the rounding.
            let smaller = expected.min(requests - expected);
            let off = i64::try_from(smaller).unwrap() * off / 1000;
            let candidate = expected.saturating_add_signed(off).min(requests);
            let split = Split { candidate, requests };
            prop_assert!(!split.deviates(weight));
        }

        #[test]
        fn hostile_counts_do_not_overflow(candidate: u64, requests: u64, parts in 0..=1_000_000_u32) {
            let split = Split { candidate, requests };
            let _ = split.deviates(Ppm::new(parts).unwrap());
            prop_assert!(split.share() <= Ppm::ALL);
            let _ = SampleRatio::of(Ppm::ALL, [("a", split), ("b", split)].into_iter());
        }
    }
}
