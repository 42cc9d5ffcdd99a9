//! Freezes, signals and approvals.

use serde::{Deserialize, Serialize};

use tidegate_delivery::model::freeze::ManualFreeze;
use tidegate_delivery::model::requirements::Approval;
use tidegate_delivery::model::signals::ActiveSignal;
use tidegate_delivery::names::{RoleName, SignalName};
use tidegate_delivery::units::{Timestamp, rfc3339};

/// A freeze of deployments by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeView {
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// The operator who started it.
    pub by: String,
    pub reason: Option<String>,
}

/// An active signal for a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalView {
    pub signal: SignalName,
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    pub reason: Option<String>,
}

/// An operator's approval of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    pub by: String,
    pub role: RoleName,
    /// The approved step, counted from 1.
    pub step: usize,
    /// When it expires.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
}

impl From<&ManualFreeze> for FreezeView {
    fn from(freeze: &ManualFreeze) -> Self {
        let ManualFreeze { since, by, reason } = freeze.clone();
        Self { since, by, reason }
    }
}

impl From<&ActiveSignal> for SignalView {
    fn from(active: &ActiveSignal) -> Self {
        let ActiveSignal { signal, since, reason } = active.clone();
        Self { signal, since, reason }
    }
}

impl From<&Approval> for ApprovalView {
    fn from(approval: &Approval) -> Self {
        let Approval { by, role, step, until } = approval.clone();
        Self { by, role, step: step.saturating_add(1), until }
    }
}
