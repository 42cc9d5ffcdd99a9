//! Notifications: which events are notified, with which level and text. No I/O; [`crate::effects::notifier`] delivers
//! them.

mod cdevents;
mod payload;
mod render;
pub mod template;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use self::cdevents::CONTENT_TYPE as CLOUD_EVENT;
pub use self::payload::PayloadFormat;
pub(crate) use self::payload::payload;
pub(crate) use self::render::{of_record, of_sidecars};
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;

/// Severity of a notification. A receiver gets those of its level and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotificationLevel {
    /// Progress as planned.
    Info,
    /// Needs attention, but no immediate action.
    Warning,
    /// Needs immediate action.
    Critical,
}

impl NotificationLevel {
    /// As in the configuration, and in the interfaces of receivers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A notification. Its JSON is part of a receiver's delivery state while it is delayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notification {
    pub(crate) level: NotificationLevel,
    /// The event's name in the journal, or `nack`, `silent_sidecars` or `sample_ratio`.
    pub(crate) event: String,
    /// One line.
    pub(crate) title: String,
    pub(crate) text: String,
    /// Absent if several or all services are affected.
    pub(crate) service: Option<ServiceName>,
    pub(crate) release: Option<ReleaseId>,
    /// The version that serves all requests now, if a release ended.
    #[serde(default)]
    pub(crate) version: Option<VersionName>,
    /// Whether a condition that was notified before has ended.
    pub(crate) recovered: bool,
    /// The journal record.
    pub(crate) seq: u64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub(crate) at: Timestamp,
    /// Who caused it: an operator or a part of the server.
    pub(crate) actor: String,
    /// The actor's reason, if given.
    pub(crate) reason: Option<String>,
    /// The condition that changed, if it is one that can begin and end repeatedly.
    #[serde(default)]
    pub(crate) condition: Option<Condition>,
}

/// A condition and its status, for example a guardrail of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Condition {
    pub(crate) id: ConditionId,
    pub(crate) status: ConditionStatus,
}

/// Identifies a condition. Those of a release begin with its id and a space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ConditionId(pub(crate) String);

impl ConditionId {
    pub(crate) fn belongs_to(&self, release: &ReleaseId) -> bool {
        self.0.strip_prefix(release.as_str()).is_some_and(|rest| rest.starts_with(' '))
    }
}

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConditionStatus {
    Ok,
    Warning,
    Critical,
}

/// A condition of the sidecars of a running release. The journal does not contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SidecarCondition {
    /// Some reject the configuration.
    Nack,
    /// Some have the filter and do not report.
    Silence,
    /// The split of some is far from the weight.
    SampleRatio,
}

impl SidecarCondition {
    pub(crate) const ALL: [Self; 3] = [Self::Nack, Self::Silence, Self::SampleRatio];

    pub(crate) const fn holds(self, convergence: &Convergence) -> bool {
        match self {
            Self::Nack => convergence.nacked > 0,
            Self::Silence => convergence.silent > 0,
            Self::SampleRatio => !convergence.sample_ratio.is_empty(),
        }
    }
}
