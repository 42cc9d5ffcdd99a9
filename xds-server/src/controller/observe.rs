//! What the engine observes: the counts of running releases, of stable versions, and of versions that no release judges.

use std::sync::Arc;

use super::engine::Engine;
use super::handle::Origin;
use super::step_windows::{Context, StepWindows};
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::model::progress::Observation;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::{ReleaseId, VersionName};
use tidegate_delivery::reducer::decide_version_watch;
use tidegate_delivery::units::Timestamp;

impl Engine {
    pub(super) fn observe(
        &mut self,
        state: &State,
        service: &ServiceState,
        release: &Release,
        now: Timestamp,
    ) -> Observation {
        let no_history = StableHistory::default();
        let history = self.histories.get(&service.spec.name).unwrap_or(&no_history);
        let source = &*self.evidence_source;
        let queries = &self.query_samples;
        let context = Context { now, source, service, release, history, queries };
        let serial = self.serial;
        let windows = self
            .step_windows
            .entry(release.id.clone())
            .or_insert_with(|| StepWindows::start(serial, context, None));
        windows.observe(context, state, &*self.sidecars)
    }

    /// Adds the counts of every stable version to its history.
    pub(super) fn observe_stable_versions(&mut self, now: Timestamp) {
        let services = &self.state.services;
        self.histories.retain(|name, _| services.contains_key(name));
        self.shared_histories.retain(|name| services.contains_key(name));
        for (name, service) in services {
            let history = self.histories.entry(name.clone()).or_default();
            if history.is_due(now, &service.stable) {
                let total = self.evidence_source.of_stable(name, &service.stable);
                history.observe(now, &service.stable, total);
                self.shared_histories.set(name, history);
            }
        }
    }

    /// Decides about the versions that no release judges.
    pub(super) fn watch_versions(&mut self, now: Timestamp, origin: &Origin) {
        let state = Arc::clone(&self.state);
        self.watches.retain(&state);
        for (name, service) in &state.services {
            // An earlier decision may have changed it, as the rollback of a group does.
            let current = self.state.services.get(name);
            if current.is_none_or(|current| !Arc::ptr_eq(current, service)) {
                continue;
            }
            let source = &*self.evidence_source;
            let counts =
                |version: &VersionName| source.of_version(name, version, &service.spec.guardrails);
            let watched = self.watches.observe(now, service, counts);
            let events = decide_version_watch(&state, service, now, &watched);
            self.commit_own(now, events, origin);
        }
    }

    pub(super) fn start_step_windows(&mut self, id: &ReleaseId) {
        let before = self.step_windows.remove(id);
        let serial = self.serial;
        if let Some(release) = self.state.release(id) {
            self.query_samples.begin(self.clock.now(), id, release.step());
        }
        let started = self.in_context(id, |context| StepWindows::start(serial, context, before));
        self.step_windows.extend(started.map(|windows| (id.clone(), windows)));
    }

    /// Keeps the serial of the step: later publications of other releases do not matter for it.
    pub(super) fn restart_step_windows(&mut self, id: &ReleaseId) {
        let Some(mut windows) = self.step_windows.remove(id) else {
            return;
        };
        let restarted = self.in_context(id, |context| {
            windows.restart(context);
            windows
        });
        self.step_windows.extend(restarted.map(|windows| (id.clone(), windows)));
    }

    /// None unless the release is running.
    fn in_context<T>(&self, id: &ReleaseId, then: impl FnOnce(Context<'_>) -> T) -> Option<T> {
        let service = self.state.service_of(id)?;
        let release = service.running()?;
        let no_history = StableHistory::default();
        let history = self.histories.get(&service.spec.name).unwrap_or(&no_history);
        let (now, source) = (self.clock.now(), &*self.evidence_source);
        let queries = &self.query_samples;
        Some(then(Context { now, source, service, release, history, queries }))
    }
}
