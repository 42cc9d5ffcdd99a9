//! What others must have said of a release before it may go forward: CI's checks, and people's
//! approvals. A gate holds what goes forward and never what goes back.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::checks::MAX_CHECKS;
use crate::model::plan::PlanError;
use crate::names::{CheckName, RoleName};
use crate::units::{Timestamp, millis};

/// Most approvals that a gate may ask for: nobody has more release managers awake.
pub const MAX_APPROVALS: u32 = 20;

/// What a service asks for before any of its releases gets traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requirements {
    /// Checks that must have passed, by name.
    #[serde(default)]
    pub checks: BTreeSet<CheckName>,
    /// Who must have approved.
    #[serde(default)]
    pub approvals: Option<Approvals>,
}

/// How many of whom must approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// So many different people; who started the release is none of them.
    pub count: u32,
    /// Of this role.
    pub role: RoleName,
    /// An approval is good for so long.
    #[serde(with = "millis")]
    pub expire: Duration,
}

/// One person's word for one step of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// As what.
    pub role: RoleName,
    /// The step that may be entered: index into the plan's steps.
    pub step: usize,
    /// When it expires, in wall time.
    pub until: Timestamp,
}

impl Requirements {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.approvals.is_none()
    }

    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        let count = self.checks.len();
        if count > MAX_CHECKS {
            return Err(PlanError::TooMany { what: "checks", most: MAX_CHECKS, count });
        }
        self.approvals.as_ref().map_or(Ok(()), Approvals::validate)
    }
}

impl Approvals {
    /// Checks that the gate can be opened, and not by nobody.
    ///
    /// # Errors
    /// When it cannot, or can.
    pub fn validate(&self) -> Result<(), PlanError> {
        let possible = (1..=MAX_APPROVALS).contains(&self.count) && !self.expire.is_zero();
        if possible { Ok(()) } else { Err(PlanError::Approvals { count: self.count }) }
    }

    /// How many are still missing, of what was given for a step.
    #[must_use]
    pub fn missing(&self, given: &[Approval], step: usize, wall: Timestamp) -> u32 {
        let people: BTreeSet<_> = given
            .iter()
            .filter(|it| it.step == step && it.role == self.role && it.until > wall)
            .map(|it| &it.by)
            .collect();
        self.count.saturating_sub(u32::try_from(people.len()).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::name;

    fn approvals(count: u32) -> Approvals {
        Approvals { count, role: name("manager"), expire: Duration::from_secs(60) }
    }

    fn by(who: &str, role: &str, step: usize, until: u64) -> Approval {
        Approval { by: who.to_owned(), role: name(role), step, until: Timestamp(until) }
    }

    #[test]
    fn only_different_people_of_the_role_count_for_a_step_and_not_for_ever() {
        let given = [
            by("bob", "manager", 0, 100),
            by("bob", "manager", 0, 200),
            by("eve", "developer", 0, 200),
            by("ida", "manager", 1, 200),
        ];
        assert_eq!(approvals(2).missing(&given, 0, Timestamp(150)), 1);
        assert_eq!(approvals(2).missing(&given, 0, Timestamp(200)), 2, "it expired");
        assert_eq!(approvals(1).missing(&given, 1, Timestamp(0)), 0);
    }

    #[test]
    fn nobody_can_be_asked_for_none_or_for_too_many() {
        for (count, possible) in [(0, false), (1, true), (MAX_APPROVALS, true), (21, false)] {
            assert_eq!(approvals(count).validate().is_ok(), possible, "{count}");
        }
    }
}
