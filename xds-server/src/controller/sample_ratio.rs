//! The comparison of each sidecar's split with the weight of a step.
//!
//! It begins [`SETTLE`] after the sidecars have acknowledged the step: reports until then contain requests of the step before.

use std::time::Duration;

use crate::telemetry::splits::SidecarSplits;
use tidegate_delivery::model::flag::{is_enabled, routed_service};
use tidegate_delivery::model::sample_ratio::SampleRatio;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::ServiceName;
use tidegate_delivery::units::{Ppm, Timestamp};

/// The longest delay of a report: a filter retransmits at least every 4 s.
const SETTLE: Duration = Duration::from_secs(5);
/// The time between two comparisons.
const INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StepRatio {
    /// When the step was acknowledged; none before that.
    since: Option<Timestamp>,
    /// The counts at the begin of the comparison.
    baseline: Option<SidecarSplits>,
    compared_at: Timestamp,
    latest: SampleRatio,
}

impl StepRatio {
    /// Of a step that is acknowledged now.
    pub(super) fn begin(now: Timestamp) -> Self {
        Self { since: Some(now), ..Self::default() }
    }

    /// The result now. `splits` are the counts since the release started.
    pub(super) fn observe(
        &mut self,
        now: Timestamp,
        weight: Ppm,
        is_selected_by_flags: impl FnOnce() -> bool,
        splits: impl FnOnce() -> SidecarSplits,
    ) -> SampleRatio {
        let settled = self.since.is_some_and(|since| now.since(since) >= SETTLE);
        let due = self.baseline.is_none() || now.since(self.compared_at) >= INTERVAL;
        if settled && due {
            self.compared_at = now;
            let splits = splits();
            match &self.baseline {
                None => self.baseline = Some(splits),
                // What a flag selects is part of no weight.
                Some(_) if is_selected_by_flags() => {
                    (self.baseline, self.latest) = (Some(splits), SampleRatio::default());
                }
                Some(baseline) => {
                    let since = splits.iter().map(|(node, split)| {
                        let before = baseline.get(node).copied().unwrap_or_default();
                        (&**node, split.since(before))
                    });
                    self.latest = SampleRatio::of(weight, since);
                }
            }
        }
        self.latest.clone()
    }
}

/// Whether an enabled flag selects versions of a service.
pub(super) fn is_selected_by_flags(state: &State, service: &ServiceName) -> bool {
    let routes = |flag| is_enabled(flag) && routed_service(flag) == Some(service.as_str());
    state.flags.values().any(routes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_delivery::model::sample_ratio::Split;

    fn splits(candidate: u64, requests: u64) -> SidecarSplits {
        [("edge-1".into(), Split { candidate, requests })].into()
    }

    #[test]
    fn counts_of_the_step_before_are_not_compared() {
        let mut ratio = StepRatio::begin(Timestamp(0));
        let weight = Ppm::percent(50);
        let mut at = |ms, candidate, requests| {
            ratio.observe(Timestamp(ms), weight, || false, || splits(candidate, requests))
        };
        assert!(at(4_999, 0, 100_000).is_empty());
        assert!(at(5_000, 0, 100_000).is_empty(), "the baseline");
        assert!(at(6_000, 500, 101_000).is_empty());
        let ignores = at(7_000, 500, 110_000);
        assert_eq!(ignores.sidecars.len(), 1, "{ignores:?}");
        assert_eq!(ignores.sidecars[0].split, Split { candidate: 500, requests: 10_000 });
        assert_eq!(at(7_100, 5_500, 110_000), ignores, "once in a second");
        assert!(at(8_000, 5_500, 110_000).is_empty());
    }

    #[test]
    fn nothing_is_compared_before_convergence_or_while_a_flag_selects_versions() {
        let mut ratio = StepRatio::default();
        let weight = Ppm::percent(50);
        assert!(ratio.observe(Timestamp(99_000), weight, || false, || splits(0, 9_000)).is_empty());
        let mut ratio = StepRatio::begin(Timestamp(0));
        for (ms, flags, requests) in
            [(5_000, false, 0), (6_000, true, 9_000), (7_000, false, 9_900)]
        {
            let seen = ratio.observe(Timestamp(ms), weight, || flags, || splits(0, requests));
            assert!(seen.is_empty(), "{ms}: {seen:?}");
        }
        let seen = ratio.observe(Timestamp(8_000), weight, || false, || splits(0, 10_000));
        assert_eq!(seen.deviating(), 1);
    }
}
