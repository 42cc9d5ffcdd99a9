//! One release of one service: its plan and its progress.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::judge::{Finding, Guardrail, Level};
use crate::model::dns::DnsProgress;
use crate::model::failure::SmokeTestFailure;
use crate::model::health::InstanceHealth;
use crate::model::hook::Call;
use crate::model::plan::Plan;
use crate::model::requirements::Approval;
use crate::names::{ReleaseId, ServiceName, SignalName, VersionName};
use crate::units::{Ppm, Timestamp};

/// A release, running or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its id, also the salt of the bucket hash.
    pub id: ReleaseId,
    /// The service.
    pub service: ServiceName,
    /// The version that it introduces.
    pub candidate: VersionName,
    /// The stable version at its start, and again after a rollback.
    pub stable: VersionName,
    /// The plan as of its start.
    pub plan: Plan,
    /// The time of its start.
    pub started_at: Timestamp,
    /// The actor that started it.
    pub started_by: String,
    /// The phase, with the current step.
    pub phase: Phase,
    /// Since when it is paused, by an operator or a guardrail; absent if it is not.
    pub paused_at: Option<Timestamp>,
    /// True once the sidecars have acknowledged the current step.
    pub converged: bool,
    /// The active alerts.
    pub alerts: BTreeMap<Guardrail, Level>,
    /// The finding of the guardrail that paused it, if one did.
    pub paused_by_guardrail: Option<Finding>,
    /// Guardrails that an operator overrode by resuming it; until its next step.
    pub overridden: BTreeSet<Guardrail>,
    /// Approvals of the next step.
    pub approvals: Vec<Approval>,
    /// Its hook calls, due and ended, in order.
    pub calls: Vec<Call>,
    /// The last health check of the candidate's instances, while it was prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<InstanceHealth>,
    /// The progress of the DNS update, from 100 % on.
    pub dns: Option<DnsProgress>,
}

/// The phase of a release. Only events change it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// At 0 %: the sidecars receive the candidate, smoke tests and health checks run.
    Preparing {
        /// Since when.
        since: Timestamp,
        /// Whether its smoke tests have passed; true from the start without any.
        tested: bool,
    },
    /// On a step below 100 %.
    Stepping {
        /// Index into the plan's steps.
        step: usize,
        /// Since when.
        since: Timestamp,
    },
    /// In the last step, in the watch period; a broken guardrail still rolls it back.
    Watching {
        /// Since when.
        since: Timestamp,
        /// What stays on stable.
        #[serde(default, skip_serializing_if = "Ppm::is_zero")]
        holdback: Ppm,
    },
    /// Completed: the candidate is the stable version.
    Completed {
        /// When.
        at: Timestamp,
    },
    /// Rolled back to stable.
    RolledBack {
        /// When.
        at: Timestamp,
        /// Why.
        cause: RollbackCause,
    },
}

/// Why a release was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RollbackCause {
    /// A guardrail was broken.
    Guardrail {
        /// The limit and the measured values.
        finding: Finding,
    },
    /// A smoke test failed.
    SmokeTest {
        /// The request and how it failed.
        #[serde(flatten)]
        failure: SmokeTestFailure,
    },
    /// A security signal was raised against the candidate.
    Security {
        /// The signal.
        signal: SignalName,
        /// The reason that came with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Another release of its group was rolled back.
    Group {
        /// That release.
        release: ReleaseId,
        /// Why that one was rolled back.
        cause: Box<RollbackCause>,
    },
    /// An operator used `abort` or `rollback`.
    Operator,
}

impl Release {
    /// True until it is completed or rolled back.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Completed { .. } | Phase::RolledBack { .. })
    }

    /// The index of the current step; none before the first and after the end.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        match &self.phase {
            Phase::Stepping { step, .. } => Some(*step),
            Phase::Watching { .. } => self.plan.steps.len().checked_sub(1),
            Phase::Preparing { .. } | Phase::Completed { .. } | Phase::RolledBack { .. } => None,
        }
    }

    /// The step that has not converged yet; none before the first step, after convergence and after the end.
    #[must_use]
    pub fn unconverged_step(&self) -> Option<usize> {
        self.step().filter(|_| !self.converged)
    }

    /// The index of the next step; none in the last step and after the end.
    #[must_use]
    pub fn next_step(&self) -> Option<usize> {
        let next = match &self.phase {
            Phase::Preparing { .. } => 0,
            Phase::Stepping { step, .. } => step.saturating_add(1),
            Phase::Watching { .. } | Phase::Completed { .. } | Phase::RolledBack { .. } => {
                return None;
            }
        };
        (next < self.plan.steps.len()).then_some(next)
    }

    /// The intended share of the candidate.
    #[must_use]
    pub fn weight(&self) -> Ppm {
        match &self.phase {
            Phase::Preparing { .. } | Phase::RolledBack { .. } => Ppm::ZERO,
            Phase::Stepping { step, .. } => {
                self.plan.steps.get(*step).map_or(Ppm::ZERO, |step| step.weight)
            }
            Phase::Watching { holdback, .. } => holdback.complement(),
            Phase::Completed { .. } => Ppm::ALL,
        }
    }
}
