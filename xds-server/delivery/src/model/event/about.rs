//! The kind of an event, and the service, release or flag that it is about.

use super::Event;
use crate::names::{ReleaseId, ServiceName};

impl Event {
    /// The tag `event` of its JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CatalogueApplied { .. } => "catalogue_applied",
            Self::FleetsApplied { .. } => "fleets_applied",
            Self::ConfigurationApplied { .. } => "configuration_applied",
            Self::VersionRegistered { .. } => "version_registered",
            Self::VersionRemoved { .. } => "version_removed",
            Self::ReleaseStarted { .. } => "release_started",
            Self::HealthChanged { .. } => "health_changed",
            Self::GroupStarted { .. } => "group_started",
            Self::SmokeTestsPassed { .. } => "smoke_tests_passed",
            Self::StepEntered { .. } => "step_entered",
            Self::StepConverged { .. } => "step_converged",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::AlertRaised { .. } => "alert_raised",
            Self::AlertCleared { .. } => "alert_cleared",
            Self::PausedByGuardrail { .. } => "paused_by_guardrail",
            Self::Approved { .. } => "approved",
            Self::CheckReported { .. } => "check_reported",
            Self::SignalRaised { .. } => "signal_raised",
            Self::SignalCleared { .. } => "signal_cleared",
            Self::VersionQuarantined { .. } => "version_quarantined",
            Self::QuarantineLifted { .. } => "quarantine_lifted",
            Self::FlagsAllowed { .. } => "flags_allowed",
            Self::FreezeWindowsApplied { .. } => "freeze_windows_applied",
            Self::DeploymentsFrozen { .. } => "deployments_frozen",
            Self::DeploymentsUnfrozen { .. } => "deployments_unfrozen",
            Self::RollbackWindowClosed { .. } => "rollback_window_closed",
            Self::VersionAlertRaised { .. } => "version_alert_raised",
            Self::VersionAlertCleared { .. } => "version_alert_cleared",
            Self::RolledBack { .. } => "rolled_back",
            Self::Completed { .. } => "completed",
            Self::StableRestored { .. } => "stable_restored",
            Self::HookSucceeded { .. } => "hook_succeeded",
            Self::HookFailed { .. } => "hook_failed",
            Self::DnsUpdated { .. } => "dns_updated",
            Self::DnsFailed { .. } => "dns_failed",
            Self::FlagsReplaced { .. } => "flags_replaced",
            Self::FlagSet { .. } => "flag_set",
            Self::FlagDeleted { .. } => "flag_deleted",
        }
    }

    /// The service that it is about, by name: also one that is no longer declared.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self.about() {
            About::Service(service) => Some(service.as_str()),
            // A release's id is that of its service and a number.
            About::Release(id) => Some(id.service()),
            About::Neither => None,
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
        match self.about() {
            About::Release(id) => Some(id),
            About::Service(_) | About::Neither => None,
        }
    }

    /// Every kind is named here, so that a new one cannot be forgotten.
    const fn about(&self) -> About<'_> {
        match self {
            Self::ReleaseStarted { id, .. }
            | Self::HealthChanged { id, .. }
            | Self::SmokeTestsPassed { id }
            | Self::StepEntered { id, .. }
            | Self::StepConverged { id, .. }
            | Self::Paused { id }
            | Self::Resumed { id }
            | Self::AlertRaised { id, .. }
            | Self::AlertCleared { id, .. }
            | Self::PausedByGuardrail { id, .. }
            | Self::Approved { id, .. }
            | Self::RolledBack { id, .. }
            | Self::HookSucceeded { id, .. }
            | Self::HookFailed { id, .. }
            | Self::Completed { id, .. } => About::Release(id),
            Self::VersionRegistered { service, .. }
            | Self::VersionRemoved { service, .. }
            | Self::CheckReported { service, .. }
            | Self::SignalRaised { service, .. }
            | Self::SignalCleared { service, .. }
            | Self::VersionQuarantined { service, .. }
            | Self::QuarantineLifted { service, .. }
            | Self::FlagsAllowed { service, .. }
            | Self::DeploymentsFrozen { service: Some(service), .. }
            | Self::DeploymentsUnfrozen { service: Some(service) }
            | Self::RollbackWindowClosed { service, .. }
            | Self::VersionAlertRaised { service, .. }
            | Self::VersionAlertCleared { service, .. }
            | Self::StableRestored { service, .. }
            | Self::DnsUpdated { service, .. }
            | Self::DnsFailed { service, .. } => About::Service(service),
            Self::CatalogueApplied { .. }
            | Self::FleetsApplied { .. }
            | Self::ConfigurationApplied { .. }
            | Self::GroupStarted { .. }
            | Self::FreezeWindowsApplied { .. }
            | Self::DeploymentsFrozen { service: None, .. }
            | Self::DeploymentsUnfrozen { service: None }
            | Self::FlagsReplaced { .. }
            | Self::FlagSet { .. }
            | Self::FlagDeleted { .. } => About::Neither,
        }
    }
}

/// What an event is about.
enum About<'a> {
    Release(&'a ReleaseId),
    Service(&'a ServiceName),
    Neither,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The fields of all kinds of events; each kind reads its own.
    const MEMBERS: &str = r#"{
        "id": "shop.order.7", "service": "shop.order", "version": "v2", "by": "anne",
        "candidate": "v2", "stable": "v1", "step": 0, "weight": 50000, "more": 0, "unhealthy": [],
        "cause": {"kind": "operator"},
        "plan": {
            "strategy": "canary", "steps": [], "watch": 60000, "smoke_tests": [], "on_fail": "rollback",
            "convergence": {"share": 1000000}, "rollback_window": 60000
        },
        "finding": {
            "guardrail": "error_rate", "level": "rollback", "limit": {"kind": "share", "max_ppm": 50000}, "bad": 6, "requests": 99
        },
        "guardrail": "error_rate", "check": "tests", "result": {"passed": true}, "signal": "orders",
        "approval": {"by": "anne", "role": "manager", "step": 0, "until": 1},
        "hook": "chat", "on": "switched", "attempts": 1, "error": "refused", "records": {"addresses": ["10.0.0.1"]},
        "spec": {"endpoints": [{"host": "10.0.0.1", "port": 80}]}, "services": [], "fleets": [], "freeze_windows": [],
        "hash": "00", "source": "file", "members": [], "key": "beta", "flags": {}, "definition": {}
    }"#;

    fn event(kind: &str) -> Event {
        let mut members: Value = serde_json::from_str(MEMBERS).unwrap();
        members["event"] = kind.into();
        let event: Event = serde_json::from_value(members).unwrap();
        assert_eq!(event.kind(), kind);
        event
    }

    #[test]
    fn an_event_about_a_service_names_it() {
        for kind in [
            "version_registered",
            "version_removed",
            "check_reported",
            "signal_raised",
            "signal_cleared",
            "version_quarantined",
            "quarantine_lifted",
            "flags_allowed",
            "deployments_frozen",
            "deployments_unfrozen",
            "rollback_window_closed",
            "stable_restored",
            "dns_updated",
            "dns_failed",
        ] {
            let event = event(kind);
            assert_eq!((event.service(), event.release()), (Some("shop.order"), None), "{kind}");
        }
    }

    #[test]
    fn an_event_about_a_release_names_release_and_service() {
        let id: ReleaseId = "shop.order.7".parse().unwrap();
        let kinds = [
            "release_started",
            "health_changed",
            "smoke_tests_passed",
            "step_entered",
            "step_converged",
            "paused",
            "resumed",
            "alert_raised",
            "alert_cleared",
            "paused_by_guardrail",
            "approved",
            "rolled_back",
            "completed",
            "hook_succeeded",
            "hook_failed",
        ];
        for event in kinds.into_iter().map(event) {
            let about = (event.service(), event.release());
            assert_eq!(about, (Some("shop.order"), Some(&id)), "{}", event.kind());
        }
    }

    #[test]
    fn a_global_event_names_no_service() {
        let kinds = [
            "catalogue_applied",
            "fleets_applied",
            "configuration_applied",
            "group_started",
            "freeze_windows_applied",
            "flags_replaced",
            "flag_set",
            "flag_deleted",
        ];
        let frozen =
            Event::DeploymentsFrozen { service: None, by: "anne".to_owned(), reason: None };
        let freezes = [frozen, Event::DeploymentsUnfrozen { service: None }];
        for event in kinds.into_iter().map(event).chain(freezes) {
            assert_eq!((event.service(), event.release()), (None, None), "{}", event.kind());
        }
    }
}
