//! Versions that no release judges: the stable one, and those that flags lead to. Alerts about them, and the rollback of a
//! completed release that its plan asks for.
//!
//! The caller passes the counts of the versions of each service to [`VersionWatches::observe`] at every evaluation, appends
//! what [`decide_version_watch`] decides about the result, and calls [`VersionWatches::retain`] after changes of the state.
//! Memory: a few kilobytes for each version that had requests since the server started.

use std::collections::BTreeMap;
use std::time::Duration;

use super::groups;
use crate::judge::version_watch::VersionWatch;
use crate::judge::{Evidence, Finding, Level};
use crate::model::event::Event;
use crate::model::release::RollbackCause;
use crate::model::state::{ServiceState, State};
use crate::names::{ServiceName, VersionName};
use crate::units::Timestamp;

/// The watches of all versions.
#[derive(Debug, Default)]
pub struct VersionWatches(BTreeMap<(ServiceName, VersionName), VersionWatch>);

/// What was found about one version. Only versions with new counts have one: missing data ends no alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedVersion {
    /// The version.
    pub version: VersionName,
    /// One finding for each guardrail.
    pub findings: Vec<Finding>,
}

impl VersionWatches {
    /// Drops the watches of versions that are gone, or that a release judges now.
    pub fn retain(&mut self, state: &State) {
        self.0.retain(|(service, version), _| {
            let service = state.services.get(service);
            service.is_some_and(|it| is_watched(it, version))
        });
    }

    /// Adds the counts of the versions of a service that are due. `counts` are cumulative, by the guardrails of the service;
    /// none of a version without requests.
    pub fn observe(
        &mut self,
        now: Timestamp,
        service: &ServiceState,
        counts: impl Fn(&VersionName) -> Option<Evidence>,
    ) -> Vec<WatchedVersion> {
        let guardrails = &service.spec.guardrails;
        let mut watched = Vec::new();
        for version in service.spec.versions.keys().filter(|it| is_watched(service, it)) {
            let key = (service.spec.name.clone(), version.clone());
            let window = match service.automatic_rollback() {
                Some((until, window)) if *version == service.stable && now < until => window,
                _ => Duration::ZERO,
            };
            let known = self.0.get_mut(&key).filter(|it| it.is_of(guardrails, window));
            match known {
                Some(watch) if watch.is_due(now) => {
                    watch.observe(now, counts(version).unwrap_or_default());
                    let alerts = service.alerts.get(version).cloned().unwrap_or_default();
                    // A version without requests has no alert. Stable is expected to serve.
                    let is_over = *version != service.stable && watch.is_idle();
                    let findings = if is_over { Vec::new() } else { watch.findings(&alerts) };
                    let version = version.clone();
                    watched.push(WatchedVersion { version, findings });
                }
                Some(_) => {}
                None => {
                    // Its alerts outlive a restart, also if it has had no requests since.
                    let known = service.alerts.contains_key(version).then(Evidence::default);
                    let Some(counts) = counts(version).or(known) else { continue };
                    self.0.insert(key, VersionWatch::begin(now, counts, guardrails, window));
                }
            }
        }
        watched
    }
}

/// The candidate of a running release is judged with it.
fn is_watched(service: &ServiceState, version: &VersionName) -> bool {
    service.spec.versions.contains_key(version)
        && service.running().is_none_or(|release| release.candidate != *version)
}

/// Decides about the watched versions of a service. The alerts of versions that are not watched any more end.
#[must_use]
pub fn decide_version_watch(
    state: &State,
    service: &ServiceState,
    now: Timestamp,
    watched: &[WatchedVersion],
) -> Vec<Event> {
    let stable = watched.iter().find(|it| it.version == service.stable);
    let broken = stable.and_then(|it| it.findings.iter().find(|it| it.level == Level::Rollback));
    if let Some(finding) = broken
        && service.automatic_rollback().is_some_and(|(until, _)| now < until)
        && let Some(previous) = &service.previous
    {
        let mut events = ended_alerts(service, |version| *version == service.stable);
        events.push(Event::StableRestored {
            service: service.spec.name.clone(),
            version: previous.clone(),
            cause: RollbackCause::Guardrail { finding: finding.clone() },
        });
        return groups::with_rollback_of_group(state, events);
    }
    let ended = ended_alerts(service, |version| !is_watched(service, version));
    let changes = watched.iter().flat_map(|it| alert_changes(service, it));
    ended.into_iter().chain(changes).collect()
}

/// The end of all alerts of some versions.
fn ended_alerts(service: &ServiceState, of: impl Fn(&VersionName) -> bool) -> Vec<Event> {
    let alerts = service.alerts.iter().filter(|(version, _)| of(version));
    let ended = alerts.flat_map(|(version, alerts)| {
        alerts.keys().map(|guardrail| Event::VersionAlertCleared {
            service: service.spec.name.clone(),
            version: version.clone(),
            guardrail: guardrail.clone(),
        })
    });
    ended.collect()
}

fn alert_changes(service: &ServiceState, watched: &WatchedVersion) -> Vec<Event> {
    let WatchedVersion { version, findings } = watched;
    let name = &service.spec.name;
    let alerts = service.alerts.get(version);
    // Nothing is rolled back: the alert is critical.
    let capped = |it: &Finding| Finding { level: it.level.min(Level::Critical), ..it.clone() };
    let raised = findings
        .iter()
        .map(capped)
        .filter(|it| alerts.and_then(|alerts| alerts.get(&it.guardrail)) != Some(&it.level))
        .map(|finding| Event::VersionAlertRaised {
            service: name.clone(),
            version: version.clone(),
            finding,
        });
    let cleared = alerts
        .into_iter()
        .flat_map(|alerts| alerts.keys())
        .filter(|guardrail| findings.iter().all(|it| it.guardrail != **guardrail))
        .map(|guardrail| Event::VersionAlertCleared {
            service: name.clone(),
            version: version.clone(),
            guardrail: guardrail.clone(),
        });
    raised.chain(cleared).collect()
}
