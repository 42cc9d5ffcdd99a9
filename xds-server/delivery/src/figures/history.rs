//! The deployments of one service by day, and its newest release.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::Guardrail;
use crate::model::release::RollbackCause;
use crate::names::ReleaseId;
use crate::units::{Ppm, Timestamp};

/// The length of a day (UTC).
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Limit of days with deployments per service. The oldest day is dropped.
const MAX_DAYS: usize = 400;
/// Limit of lead times and of recovery times per day and service. Further deployments are counted without times.
const MAX_TIMES: usize = 1000;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct History {
    /// By day number since the Unix epoch.
    pub(super) days: BTreeMap<u64, Day>,
    /// The newest release, until its completion or rollback.
    pub(super) deployment: Option<Deployment>,
    /// The newest completed release, until its rollback. A later release that is aborted does not replace it.
    completed: Option<Deployment>,
    pub(super) rollbacks: BTreeMap<RollbackKind, u64>,
}

/// The kind of a rollback's cause, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named as in `RollbackCause`")]
pub enum RollbackKind {
    Guardrail,
    SmokeTest,
    Security,
    Group,
    Operator,
}

/// The deployments of one day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Day {
    pub(super) deployments: u32,
    /// Failed deployments of this day; the failure may be on a later day.
    pub(super) failures: u32,
    /// In milliseconds.
    pub(super) lead_times: Vec<u64>,
    /// In milliseconds.
    pub(super) recovery_times: Vec<u64>,
}

/// A release that is running or completed, and can still be rolled back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Deployment {
    pub(super) id: ReleaseId,
    committed_at: Option<Timestamp>,
    /// The time of its first step above 0 %.
    deployed_at: Option<Timestamp>,
    /// The time of its last step, or of its completion.
    step_at: Timestamp,
    /// The active alerts with their start.
    pub(super) alerts: BTreeMap<Guardrail, Timestamp>,
    /// Whether it is counted as failed.
    failed: bool,
}

impl RollbackKind {
    /// The kind as a metric label and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guardrail => "guardrail",
            Self::SmokeTest => "smoke_test",
            Self::Security => "security",
            Self::Group => "group",
            Self::Operator => "operator",
        }
    }
}

impl From<&RollbackCause> for RollbackKind {
    fn from(cause: &RollbackCause) -> Self {
        match cause {
            RollbackCause::Guardrail { .. } => Self::Guardrail,
            RollbackCause::SmokeTest { .. } => Self::SmokeTest,
            RollbackCause::Security { .. } => Self::Security,
            RollbackCause::Group { .. } => Self::Group,
            RollbackCause::Operator => Self::Operator,
        }
    }
}

impl Deployment {
    pub(super) fn new(id: ReleaseId, committed_at: Option<Timestamp>) -> Self {
        Self {
            id,
            committed_at,
            deployed_at: None,
            step_at: Timestamp::default(),
            alerts: BTreeMap::new(),
            failed: false,
        }
    }
}

impl History {
    pub(super) fn enter(&mut self, at: Timestamp, weight: Ppm) {
        let Some(deployment) = self.deployment.as_mut().filter(|_| weight > Ppm::ZERO) else {
            return;
        };
        deployment.step_at = at;
        if deployment.deployed_at.is_none() {
            deployment.deployed_at = Some(at);
            let day = self.day(at);
            day.deployments = day.deployments.saturating_add(1);
        }
    }

    pub(super) fn complete(&mut self, at: Timestamp) {
        let Some(mut deployment) = self.deployment.take() else {
            return;
        };
        // The last step has 100 %.
        let served_at = std::mem::replace(&mut deployment.step_at, at);
        deployment.alerts.clear();
        // A commit time after the step is a wrong clock.
        let committed_at = deployment.committed_at.filter(|it| *it <= served_at);
        if let (Some(committed_at), Some(deployed_at)) = (committed_at, deployment.deployed_at) {
            push(&mut self.day(deployed_at).lead_times, served_at.since(committed_at));
        }
        self.completed = Some(deployment);
    }

    /// A guardrail paused the running release.
    pub(super) fn fail(&mut self) {
        let Some(deployment) = self.deployment.as_mut().filter(|it| !it.failed) else {
            return;
        };
        if let Some(deployed_at) = deployment.deployed_at {
            deployment.failed = true;
            self.count_failure(deployed_at);
        }
    }

    /// The running release is rolled back.
    pub(super) fn roll_back(&mut self, at: Timestamp) {
        if let Some(deployment) = self.deployment.take() {
            self.end(at, deployment);
        }
    }

    /// The completed release is rolled back.
    pub(super) fn restore(&mut self, at: Timestamp) {
        if let Some(deployment) = self.completed.take() {
            self.end(at, deployment);
        }
    }

    fn end(&mut self, at: Timestamp, deployment: Deployment) {
        let Some(deployed_at) = deployment.deployed_at else {
            return;
        };
        let failed_at = deployment.alerts.into_values().min().unwrap_or(deployment.step_at);
        if !deployment.failed {
            self.count_failure(deployed_at);
        }
        push(&mut self.day(deployed_at).recovery_times, at.since(failed_at));
    }

    fn count_failure(&mut self, deployed_at: Timestamp) {
        let day = self.day(deployed_at);
        day.failures = day.failures.saturating_add(1);
    }

    fn day(&mut self, at: Timestamp) -> &mut Day {
        let number = day_number(at);
        while self.days.len() >= MAX_DAYS && !self.days.contains_key(&number) {
            self.days.pop_first();
        }
        self.days.entry(number).or_default()
    }
}

/// The day of a time, as a number since the Unix epoch.
pub(super) fn day_number(at: Timestamp) -> u64 {
    at.since(Timestamp::default()).as_secs() / DAY.as_secs()
}

/// The start of a day.
pub(super) fn day_start(number: u64) -> Timestamp {
    Timestamp(number.saturating_mul(DAY.as_secs()).saturating_mul(1000))
}

fn push(times: &mut Vec<u64>, time: Duration) {
    if times.len() < MAX_TIMES {
        times.push(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }
}
