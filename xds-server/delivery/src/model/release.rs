//! One release of one service: its plan and how far it has come.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::judge::{Finding, Guardrail, Level};
use crate::model::dns::DnsProgress;
use crate::model::health::InstanceHealth;
use crate::model::hook::Call;
use crate::model::plan::Plan;
use crate::model::requirements::Approval;
use crate::model::signals::because;
use crate::names::{ReleaseId, ServiceName, SignalName, VersionName};
use crate::units::{Ppm, Timestamp};

/// A release, running or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its id, also the salt of its buckets.
    pub id: ReleaseId,
    /// The service that is released.
    pub service: ServiceName,
    /// The version that is to take over.
    pub candidate: VersionName,
    /// The version that serves until then, and again after a rollback.
    pub stable: VersionName,
    /// The plan as it was when the release started.
    pub plan: Plan,
    /// When it was started.
    pub started_at: Timestamp,
    /// Who started it. Journals of before it was noted do not say.
    #[serde(default)]
    pub started_by: Option<String>,
    /// Where it is.
    pub phase: Phase,
    /// Since when an operator holds it, if one does.
    pub paused_at: Option<Timestamp>,
    /// Whether the sidecars have the step that it is on.
    #[serde(default)]
    pub converged: bool,
    /// Alerts that stand now.
    pub alerts: BTreeMap<Guardrail, Level>,
    /// The broken guardrail that it is held for, if its plan says so, until a person decides.
    #[serde(default)]
    pub held: Option<Finding>,
    /// Guardrails that a person let it go on against, until its next step.
    #[serde(default)]
    pub overruled: BTreeSet<Guardrail>,
    /// What was approved of the step that comes next.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// The hooks that it told or has to tell, in the order of their moments.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// What was found of its candidate's instances last, while it was prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<InstanceHealth>,
    /// How far DNS has followed it, once it was at 100 %.
    #[serde(default)]
    pub dns: Option<DnsProgress>,
}

/// Where a release is. Only the reducer's events move it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// 0 %: sidecars learn of the candidate, smoke tests run.
    Preparing {
        /// Since when.
        since: Timestamp,
        /// Whether its smoke tests have passed; true from the start if it has none.
        #[serde(default)]
        tested: bool,
    },
    /// On a step below 100 %.
    Stepping {
        /// Index into the plan's steps.
        step: usize,
        /// Since when.
        since: Timestamp,
    },
    /// At 100 %, watched; it still goes back by itself.
    Watching {
        /// Since when.
        since: Timestamp,
    },
    /// Ended well: the candidate is the service's stable version.
    Completed {
        /// When.
        at: Timestamp,
    },
    /// Ended by going back to stable.
    RolledBack {
        /// When.
        at: Timestamp,
        /// Why.
        cause: RollbackCause,
    },
}

/// Why a release went back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum RollbackCause {
    /// A guardrail was broken.
    Guardrail {
        /// What the judge found.
        finding: Finding,
    },
    /// A smoke test failed before any traffic.
    SmokeTest {
        /// Which, and what came instead.
        failure: String,
    },
    /// A security signal said that the candidate is unsafe.
    Security {
        /// Which.
        signal: SignalName,
        /// Why, if it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It goes together with another, and that one went back.
    Group {
        /// Which.
        of: ReleaseId,
        /// Why that one did, in words.
        why: String,
    },
    /// An operator gave the release up (`abort`) or called it back (`rollback`).
    Operator,
}

impl Release {
    /// True until it completed or went back.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Completed { .. } | Phase::RolledBack { .. })
    }

    /// The index of the plan's step that it is on; none before the first and after the end.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        match &self.phase {
            Phase::Stepping { step, .. } => Some(*step),
            Phase::Watching { .. } => self.plan.steps.len().checked_sub(1),
            Phase::Preparing { .. } | Phase::Completed { .. } | Phase::RolledBack { .. } => None,
        }
    }

    /// The index of the step that comes next; none if completion does, or nothing.
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

    /// The candidate's share that is wanted now.
    #[must_use]
    pub fn weight(&self) -> Ppm {
        match &self.phase {
            Phase::Preparing { .. } | Phase::RolledBack { .. } => Ppm::ZERO,
            Phase::Stepping { step, .. } => {
                self.plan.steps.get(*step).map_or(Ppm::ZERO, |step| step.weight)
            }
            Phase::Watching { .. } | Phase::Completed { .. } => Ppm::ALL,
        }
    }
}

impl fmt::Display for RollbackCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guardrail { finding } => write!(f, "{finding}"),
            Self::SmokeTest { failure } => write!(f, "smoke test: {failure}"),
            Self::Security { signal, reason } => {
                write!(f, "security signal {signal}{}", because(reason.as_deref()))
            }
            Self::Group { of, why } => write!(f, "with {of} of its group: {why}"),
            Self::Operator => f.write_str("by an operator"),
        }
    }
}
