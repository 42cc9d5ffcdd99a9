//! Requirements of a release: checks of CI and approvals of people. They block steps and completion, never a rollback.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::checks::MAX_CHECKS;
use crate::model::plan::PlanError;
use crate::names::{CheckName, RoleName};
use crate::units::{Timestamp, millis};

/// Most approvals that a step can require.
pub const MAX_APPROVALS: u32 = 20;

/// What a service requires before a candidate receives traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requirements {
    /// Checks that must have passed, by name.
    pub checks: BTreeSet<CheckName>,
    /// Approvals before the first step.
    pub approvals: Option<Approvals>,
}

/// Required approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// The number of different people. The actor that started the release does not count.
    pub count: u32,
    /// Their role.
    pub role: RoleName,
    /// The validity of an approval.
    #[serde(with = "millis")]
    pub expire: Duration,
}

/// The consent of one person to one step of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The person.
    pub by: String,
    /// The role.
    pub role: RoleName,
    /// The step that it allows: index into the plan's steps.
    pub step: usize,
    /// When it expires, in wall time.
    pub until: Timestamp,
}

impl Requirements {
    /// True without any requirement.
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
    /// Checks number and expiry.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn validate(&self) -> Result<(), PlanError> {
        let possible = (1..=MAX_APPROVALS).contains(&self.count) && !self.expire.is_zero();
        if possible { Ok(()) } else { Err(PlanError::Approvals { count: self.count }) }
    }

    /// The number of missing approvals of a step.
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
    fn only_valid_approvals_of_different_people_of_the_role_count() {
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
    fn the_number_of_required_approvals_is_limited() {
        for (count, possible) in [(0, false), (1, true), (MAX_APPROVALS, true), (21, false)] {
            assert_eq!(approvals(count).validate().is_ok(), possible, "{count}");
        }
    }
}
