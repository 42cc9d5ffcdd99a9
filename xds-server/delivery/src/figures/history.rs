//! One service's past, day by day, and its newest release.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::Guardrail;
use crate::model::release::RollbackCause;
use crate::names::ReleaseId;
use crate::units::{Ppm, Timestamp};

/// A day of UTC.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Days on which something was deployed that are kept of a service; older ones are forgotten here,
/// never in the journal.
const MAX_DAYS: usize = 400;
/// Times that are kept of a day and service. Beyond it only the counts go on.
const MAX_TIMES: usize = 1000;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct History {
    /// By their number since the Unix epoch.
    pub(super) days: BTreeMap<u64, Day>,
    /// The newest release, until it has gone back.
    pub(super) flight: Option<Flight>,
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
    /// How many of these failed, that day or later.
    pub(super) failures: u32,
    /// In milliseconds.
    pub(super) lead_times: Vec<u64>,
    /// In milliseconds.
    pub(super) recovery_times: Vec<u64>,
}

/// A release that runs or is complete: it may still fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Flight {
    pub(super) id: ReleaseId,
    committed_at: Option<Timestamp>,
    /// When it first got traffic.
    exposed_at: Option<Timestamp>,
    /// Since when users met it as they do now: its last step, or its completion.
    step_at: Timestamp,
    /// The alerts that stand, and since when.
    pub(super) alerts: BTreeMap<Guardrail, Timestamp>,
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

impl Flight {
    pub(super) fn new(id: ReleaseId, committed_at: Option<Timestamp>) -> Self {
        Self {
            id,
            committed_at,
            exposed_at: None,
            step_at: Timestamp::default(),
            alerts: BTreeMap::new(),
        }
    }
}

impl History {
    pub(super) fn enter(&mut self, at: Timestamp, weight: Ppm) {
        let Some(flight) = self.flight.as_mut().filter(|_| weight > Ppm::ZERO) else {
            return;
        };
        flight.step_at = at;
        if flight.exposed_at.is_none() {
            flight.exposed_at = Some(at);
            let day = self.day(at);
            day.deployments = day.deployments.saturating_add(1);
        }
    }

    pub(super) fn complete(&mut self, at: Timestamp) {
        let Some(flight) = &mut self.flight else {
            return;
        };
        // The last step was that of 100 %.
        let served_at = std::mem::replace(&mut flight.step_at, at);
        flight.alerts.clear();
        // A commit of the future says more of a clock than of a lead.
        let committed_at = flight.committed_at.filter(|it| *it <= served_at);
        if let (Some(committed_at), Some(exposed_at)) = (committed_at, flight.exposed_at) {
            push(&mut self.day(exposed_at).lead_times, served_at.since(committed_at));
        }
    }

    pub(super) fn go_back(&mut self, at: Timestamp) {
        let Some(flight) = self.flight.take() else {
            return;
        };
        let Some(exposed_at) = flight.exposed_at else {
            return;
        };
        let failed_at = flight.alerts.into_values().min().unwrap_or(flight.step_at);
        let day = self.day(exposed_at);
        day.failures = day.failures.saturating_add(1);
        push(&mut day.recovery_times, at.since(failed_at));
    }

    fn day(&mut self, at: Timestamp) -> &mut Day {
        let number = number(at);
        while self.days.len() >= MAX_DAYS && !self.days.contains_key(&number) {
            self.days.pop_first();
        }
        self.days.entry(number).or_default()
    }
}

/// The number of a time's day.
pub(super) fn number(at: Timestamp) -> u64 {
    at.since(Timestamp::default()).as_secs() / DAY.as_secs()
}

/// When a day begins.
pub(super) fn beginning(number: u64) -> Timestamp {
    Timestamp(number.saturating_mul(DAY.as_secs()).saturating_mul(1000))
}

fn push(times: &mut Vec<u64>, time: Duration) {
    if times.len() < MAX_TIMES {
        times.push(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }
}
