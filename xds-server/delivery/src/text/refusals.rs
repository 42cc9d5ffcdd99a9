//! The text of refusals: conflicts with the state of a release, and what a plan lacks.

use std::fmt;
use std::time::Duration;

use super::{blockers, quoted};
use crate::model::holdback::Holdback;
use crate::model::plan::{HealthCheck, SmokeTest};
use crate::model::refusal::{Conflict, VersionUsage, Weaknesses};
use crate::model::requirements::Approvals;
use crate::model::weakness::Weakness;
use crate::units::Ppm;

impl fmt::Display for VersionUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stable => {
                f.write_str("it is the stable version; complete a release of another one first")
            }
            Self::Candidate { release } => write!(
                f,
                "release `{release}` to it is running; complete it and release another version, abort it, or roll it back"
            ),
            Self::Previous { until: Some(until) } => write!(
                f,
                "it is kept for a rollback, and no rollback could return to it, as it can until {until}; wait until then"
            ),
            Self::Previous { until: None } => f.write_str(
                "it is kept for a rollback, and no rollback could return to it; complete another release first",
            ),
            Self::Flag { key } => write!(
                f,
                "flag `{key}` can select it; disable the flag first: tidegate flag disable {}",
                quoted(key)
            ),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("it has ended"),
            Self::RolledBack => f.write_str("it was rolled back; start a new release"),
            Self::Complete => f.write_str("it is complete; roll it back instead"),
            Self::LastStep => f.write_str("it is in its last step; roll it back instead"),
            Self::SmokeTests => {
                f.write_str("its smoke tests have not passed yet; wait for them, or abort it")
            }
            Self::NoFurtherStep => f.write_str("its plan has no further step; roll it back"),
            Self::Blocked { blockers } => write!(f, "it waits for {}", self::blockers(blockers)),
            Self::NoApproval => f.write_str("its next step requires no approval"),
            Self::OtherRole { role } => {
                write!(f, "its next step requires approvals as `{role}`; approve with that role")
            }
            Self::OwnRelease { actor } => {
                write!(f, "{actor} started it; another person must approve it")
            }
            Self::GroupMember { group, verb } => write!(
                f,
                "it is a member of group `{group}`; use the command on the whole group: \
                 tidegate release group {verb} {group}"
            ),
            Self::PreviousVersionGone { version: Some(version) } => write!(
                f,
                "`{version}`, the stable version before it, is not kept any more; release it instead"
            ),
            Self::PreviousVersionGone { version: None } => f.write_str(
                "the stable version before it is not kept any more; start a release of it instead",
            ),
            Self::SuccessorRunning { release } => {
                write!(
                    f,
                    "release `{release}` started from it and is running; roll that back first"
                )
            }
            Self::OtherStep { current, from } => {
                write!(f, "it is on step {current}, not on step {from}; see tidegate status")
            }
        }
    }
}

/// What the plan must have, separated by semicolons.
/// As in the configuration.
impl fmt::Display for Holdback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Share(share) => write!(f, "{share}"),
        }
    }
}

impl fmt::Display for Weaknesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, weakness) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{weakness}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |it: &Duration| humantime::format_duration(*it).to_string();
        match self {
            Self::Approvals(required) => write!(f, "{required}, before the first step"),
            Self::Step { weight: Ppm::ALL, min_requests, .. } => {
                write!(f, "{min_requests} requests at 100%")
            }
            Self::Step { weight, time: least, min_requests } => write!(
                f,
                "a step of at most {weight} for {} and {min_requests} requests",
                time(least)
            ),
            Self::StepApprovals { weight, required } => {
                write!(f, "{required}, where its step of {weight} begins")
            }
            Self::Holdback(holdback) => write!(f, "a holdback of {holdback}"),
            Self::Watch(watch) => write!(f, "a watch period of {}", time(watch)),
            Self::SmokeTest(SmokeTest { path, expect }) => {
                write!(f, "the smoke test {path} with status {expect}")
            }
            Self::Health(HealthCheck::Tcp) => f.write_str("the health check tcp"),
            Self::Health(HealthCheck::Http(path)) => write!(f, "the health check {path}"),
            Self::Convergence(share) => write!(f, "convergence of {share} of the sidecars"),
            Self::RollbackAfterCompletion(least) => {
                write!(f, "a rollback after completion for {}", time(least))
            }
            Self::RollbackWindow(window) => write!(f, "a rollback window of {}", time(window)),
            Self::OnFail => {
                f.write_str("the rollback when a guardrail breaks (`on_fail: rollback`)")
            }
        }
    }
}

/// ``2 approvals as `manager`, valid for at most 1h``.
impl fmt::Display for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, role, expire } = self;
        let approvals = if *count == 1 { "approval" } else { "approvals" };
        write!(f, "{count} {approvals} as `{role}`, valid for at most ")?;
        write!(f, "{}", humantime::format_duration(*expire))
    }
}
