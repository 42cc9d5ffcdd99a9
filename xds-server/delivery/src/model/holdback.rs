//! The holdback: the share of the clients that stays on stable in the last step of a plan, while the candidate is watched. It
//! is what the judge compares the candidate with; without it a shared outage looks like a fault of the candidate.
//!
//! The last step has the weight 100 % minus the holdback, and its event contains both. All clients are on the candidate with
//! the completion of the release. Buckets of the candidate are the first ones, so a client that is held back was on stable
//! before.

use serde::{Deserialize, Serialize};

use super::event::{Event, StepEvidence};
use super::plan::{Plan, PlanError, Strategy};
use super::release::Release;
use crate::units::Ppm;

/// The largest holdback.
pub const MAX_HOLDBACK: Ppm = Ppm::percent(50);
/// The automatic holdback at [`BUSY`] and above.
const OF_BUSY: Ppm = Ppm::percent(1);
/// The automatic holdback below [`BUSY`], and where the rate of requests is unknown.
const OF_QUIET: Ppm = Ppm::percent(5);
/// Requests per second from which 1 % are enough for a comparison within seconds.
const BUSY: u64 = 1000;

/// How much is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holdback {
    /// 1 % if the step before had at least 1000 requests per second, otherwise 5 %.
    Auto,
    /// This share; none if it is zero.
    Share(Ppm),
}

impl Holdback {
    /// No holdback.
    pub const NONE: Self = Self::Share(Ppm::ZERO);

    /// The share at a rate of requests per second, if one is known.
    #[must_use]
    pub fn share(self, rate: Option<u64>) -> Ppm {
        match self {
            Self::Auto if rate.is_some_and(|rate| rate >= BUSY) => OF_BUSY,
            Self::Auto => OF_QUIET,
            Self::Share(share) => share,
        }
    }

    /// True if it is smaller than `other` at some rate of requests.
    #[must_use]
    pub fn is_below(self, other: Self) -> bool {
        [None, Some(BUSY)].into_iter().any(|rate| self.share(rate) < other.share(rate))
    }

    pub(crate) const fn validate(self) -> Result<(), PlanError> {
        match self {
            Self::Share(share) if share.parts() > MAX_HOLDBACK.parts() => {
                Err(PlanError::Holdback { share })
            }
            Self::Auto | Self::Share(_) => Ok(()),
        }
    }
}

impl Plan {
    /// The holdback: without a value that of the strategy. Without a watch period there is none.
    #[must_use]
    pub fn holdback(&self) -> Holdback {
        match (self.watch.is_zero(), self.holdback, self.strategy) {
            (true, ..) | (false, None, Strategy::BlueGreen) => Holdback::NONE,
            (false, None, Strategy::Canary) => Holdback::Auto,
            (false, Some(holdback), _) => holdback,
        }
    }
}

impl Release {
    /// The event that enters a step; none if the plan does not have it. `rate` are the requests per second, if known. The
    /// weight does not fall: the step before the last may leave less on stable than the holdback.
    #[must_use]
    pub fn entering(
        &self,
        step: usize,
        rate: Option<u64>,
        evidence: Option<StepEvidence>,
    ) -> Option<Event> {
        let planned = self.plan.steps.get(step)?.weight;
        let holdback = if planned == Ppm::ALL {
            self.plan.holdback().share(rate).min(self.weight().complement())
        } else {
            Ppm::ZERO
        };
        let weight = if planned == Ppm::ALL { holdback.complement() } else { planned };
        Some(Event::StepEntered { id: self.id.clone(), step, weight, holdback, evidence })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::fixtures::{blue_green, canary};

    #[test]
    fn canaries_hold_back_by_default_and_only_while_they_are_watched() {
        let unwatched = |plan| Plan { watch: Duration::ZERO, ..plan };
        assert_eq!(Plan { holdback: None, ..canary(&[100]) }.holdback(), Holdback::Auto);
        assert_eq!(Plan { holdback: None, ..blue_green() }.holdback(), Holdback::NONE);
        let written = Some(Holdback::Share(Ppm::percent(2)));
        for plan in [canary(&[100]), blue_green()] {
            let plan = Plan { holdback: written, ..plan };
            assert_eq!(Some(plan.holdback()), written);
            assert_eq!(unwatched(plan).holdback(), Holdback::NONE);
        }
    }

    #[test]
    fn the_automatic_share_depends_on_the_rate_of_requests() {
        for (rate, percent) in [(None, 5), (Some(0), 5), (Some(999), 5), (Some(1000), 1)] {
            assert_eq!(Holdback::Auto.share(rate), Ppm::percent(percent), "{rate:?}");
            let fixed = Holdback::Share(Ppm::percent(7));
            assert_eq!(fixed.share(rate), Ppm::percent(7));
        }
    }

    #[test]
    fn a_smaller_holdback_is_below() {
        let share = |percent| Holdback::Share(Ppm::percent(percent));
        for (smaller, larger) in
            [(share(1), share(2)), (Holdback::NONE, Holdback::Auto), (Holdback::Auto, share(5))]
        {
            assert!(smaller.is_below(larger), "{smaller:?} {larger:?}");
            assert!(!larger.is_below(smaller), "{smaller:?} {larger:?}");
        }
        // Each is smaller at a rate of its own.
        assert!(share(3).is_below(Holdback::Auto) && Holdback::Auto.is_below(share(3)));
    }

    #[test]
    fn more_than_half_is_refused() {
        for (percent, valid) in [(0, true), (50, true), (51, false)] {
            let plan =
                Plan { holdback: Some(Holdback::Share(Ppm::percent(percent))), ..canary(&[100]) };
            assert_eq!(plan.validate().is_ok(), valid, "{percent}");
        }
    }

    proptest! {
        #[test]
        fn weights_do_not_fall_and_no_more_is_held_back_than_configured(
            before in 0..=1_000_000_u32,
            held in 0..=500_000_u32,
            rate in proptest::option::of(0..2000_u64),
            auto: bool,
        ) {
            let held = Ppm::new(held).unwrap();
            let holdback = if auto { Holdback::Auto } else { Holdback::Share(held) };
            let before = Ppm::new(before).unwrap();
            let mut state = crate::fixtures::declared();
            crate::fixtures::run(&mut state, crate::units::Timestamp(0), &crate::fixtures::start("order", "v2")).unwrap();
            let mut release = crate::fixtures::newest(&state, "order").clone();
            release.plan.holdback = Some(holdback);
            release.plan.steps[0].weight = before;
            release.phase = crate::model::release::Phase::Stepping {
                step: 0,
                since: crate::units::Timestamp(0),
            };
            let Some(Event::StepEntered { weight, holdback: kept, .. }) =
                release.entering(2, rate, None)
            else {
                panic!("no event")
            };
            prop_assert!(weight >= before);
            prop_assert!(kept <= holdback.share(rate));
            prop_assert_eq!(weight, kept.complement());
        }
    }
}
