//! What an event is called, and what it is about.

use super::Event;
use crate::delivery::names::ReleaseId;

impl Event {
    /// What happened, in one word: the tag of its JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CatalogueApplied { .. } => "catalogue_applied",
            Self::ConfigurationApplied { .. } => "configuration_applied",
            Self::VersionRegistered { .. } => "version_registered",
            Self::ReleaseStarted { .. } => "release_started",
            Self::HealthSeen { .. } => "health_seen",
            Self::GroupStarted { .. } => "group_started",
            Self::SmokeTestsPassed { .. } => "smoke_tests_passed",
            Self::StepEntered { .. } => "step_entered",
            Self::StepConverged { .. } => "step_converged",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::AlertRaised { .. } => "alert_raised",
            Self::AlertCleared { .. } => "alert_cleared",
            Self::Held { .. } => "held",
            Self::Approved { .. } => "approved",
            Self::CheckReported { .. } => "check_reported",
            Self::SignalRaised { .. } => "signal_raised",
            Self::SignalCleared { .. } => "signal_cleared",
            Self::VersionQuarantined { .. } => "version_quarantined",
            Self::QuarantineLifted { .. } => "quarantine_lifted",
            Self::FreezesApplied { .. } => "freezes_applied",
            Self::LineStopped { .. } => "line_stopped",
            Self::LineStarted { .. } => "line_started",
            Self::RollbackWindowClosed { .. } => "rollback_window_closed",
            Self::RolledBack { .. } => "rolled_back",
            Self::Completed { .. } => "completed",
            Self::StableRestored { .. } => "stable_restored",
            Self::HookSucceeded { .. } => "hook_succeeded",
            Self::HookFailed { .. } => "hook_failed",
            Self::DnsFollowed { .. } => "dns_followed",
            Self::DnsFailed { .. } => "dns_failed",
            Self::FlagsReplaced { .. } => "flags_replaced",
            Self::FlagSet { .. } => "flag_set",
            Self::FlagDeleted { .. } => "flag_deleted",
        }
    }

    /// The service that it is about, by name: also one that is no longer declared.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::VersionRegistered { service, .. } | Self::StableRestored { service, .. } => {
                Some(service.as_str())
            }
            // A release's id is that of its service and a number.
            event => event.release()?.as_str().rsplit_once('.').map(|(service, _)| service),
        }
    }

    /// The flag that it is about.
    #[must_use]
    pub fn flag(&self) -> Option<&str> {
        match self {
            Self::FlagSet { key, .. } | Self::FlagDeleted { key } => Some(key),
            _ => None,
        }
    }

    /// The release that it is about.
    #[must_use]
    pub const fn release(&self) -> Option<&ReleaseId> {
        match self {
            Self::ReleaseStarted { id, .. }
            | Self::HealthSeen { id, .. }
            | Self::SmokeTestsPassed { id }
            | Self::StepEntered { id, .. }
            | Self::StepConverged { id, .. }
            | Self::Paused { id }
            | Self::Resumed { id }
            | Self::AlertRaised { id, .. }
            | Self::AlertCleared { id, .. }
            | Self::Held { id, .. }
            | Self::Approved { id, .. }
            | Self::RolledBack { id, .. }
            | Self::HookSucceeded { id, .. }
            | Self::HookFailed { id, .. }
            | Self::Completed { id, .. } => Some(id),
            Self::CatalogueApplied { .. }
            | Self::ConfigurationApplied { .. }
            | Self::VersionRegistered { .. }
            | Self::GroupStarted { .. }
            | Self::CheckReported { .. }
            | Self::SignalRaised { .. }
            | Self::SignalCleared { .. }
            | Self::VersionQuarantined { .. }
            | Self::QuarantineLifted { .. }
            | Self::FreezesApplied { .. }
            | Self::LineStopped { .. }
            | Self::LineStarted { .. }
            | Self::RollbackWindowClosed { .. }
            | Self::StableRestored { .. }
            | Self::DnsFollowed { .. }
            | Self::DnsFailed { .. }
            | Self::FlagsReplaced { .. }
            | Self::FlagSet { .. }
            | Self::FlagDeleted { .. } => None,
        }
    }
}
