//! The controller without its loop: decides, appends, publishes and updates the view, in that order.
//!
//! The engine is synchronous. Its caller passes commands to [`Engine::command`] and calls [`Engine::advance`] after each
//! of them, when reports or acknowledgements came in, and at least every [`super::writer::TICK`], because time alone can
//! end a step. An append waits for the disk, so the caller runs on a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};

use super::handle::DeliveryView;
use super::handle::{CommandError, Origin};
use super::publishable::{NextMesh, decide};
use super::query_samples::QuerySamples;
use super::rollback_times::PendingRollbacks;
use super::stable_histories::StableHistories;
use super::step_windows::StepWindows;
use super::{EvidenceSource, Sidecars, decision_log};
use crate::clock::{Clock, SkewLog, Times};
use crate::journal::{FoldedState, Journal, NewRecord, Record};
use tidegate_delivery::figures::Figures;
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::model::command::{Command, CommandContext, Outcome};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::group::GroupedRelease;
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName};
use tidegate_delivery::reducer::{
    ReleaseContext, VersionWatches, close_expired_window, decide_progress,
};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;
use tidegate_xds::tokens::TokenKey;

/// Most evaluations in a row while each of them decides something: a step that all sidecars acknowledge at once
/// starts without waiting for the next tick.
const MAX_PASSES: usize = 2;
/// Records between two snapshots.
const SNAPSHOT_INTERVAL: u64 = 10_000;

/// Decides and appends. See the module for the caller's obligations.
pub struct Engine {
    pub(super) journal: Box<dyn Journal>,
    pub(super) sidecars: Box<dyn Sidecars>,
    pub(super) evidence_source: Box<dyn EvidenceSource>,
    pub(super) clock: Clock,
    pub(super) state: Arc<State>,
    pub(super) figures: Arc<Figures>,
    pub(super) seq: u64,
    /// The record of the last snapshot, or of the last attempt to save one.
    pub(super) snapshot_seq: u64,
    pub(super) mesh: Mesh,
    pub(super) serial: u64,
    pub(super) skew_log: SkewLog,
    pub(super) halted: Option<String>,
    /// Evidence of each running release.
    pub(super) step_windows: BTreeMap<ReleaseId, StepWindows>,
    /// What is known of the stable version of each service.
    pub(super) histories: BTreeMap<ServiceName, StableHistory>,
    /// The same for readers.
    pub(super) shared_histories: StableHistories,
    /// The versions that no release judges.
    pub(super) watches: VersionWatches,
    /// The samples of query guardrails.
    pub(super) query_samples: QuerySamples,
    pub(super) rollbacks: PendingRollbacks,
    /// Result of the last evaluation of each running release.
    pub(super) progress: BTreeMap<ReleaseId, Progress>,
    pub(super) view: watch::Sender<Arc<DeliveryView>>,
    pub(super) records: broadcast::Sender<Record>,
}

impl Engine {
    /// Decides a command and appends the resulting events.
    ///
    /// # Errors
    /// If the command is rejected, or the events cannot be appended. Nothing has changed then.
    pub fn command(&mut self, command: &Command, origin: &Origin) -> Result<Outcome, CommandError> {
        self.decide(command, origin, None)
    }

    fn decide(
        &mut self,
        command: &Command,
        origin: &Origin,
        mesh: Option<Mesh>,
    ) -> Result<Outcome, CommandError> {
        let Times { now, wall } = self.clock.times();
        let Origin { actor, reason } = origin;
        let command_context = CommandContext { actor, reason: reason.as_deref(), at: now, wall };
        let mesh = mesh.map_or(NextMesh::Unchanged(&self.mesh), NextMesh::Declared);
        let decided = decide(&self.state, &command_context, command, mesh)?;
        self.commit(now, decided.events, origin, decided.mesh)?;
        Ok(decided.outcome)
    }

    /// Applies a configuration. Its services and its mesh are in one publication, or neither is applied.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn reconfigure(
        &mut self,
        command: &Command,
        mesh: Mesh,
        origin: &Origin,
    ) -> Result<Outcome, CommandError> {
        self.decide(command, origin, Some(mesh))
    }

    /// Publishes the route tokens of a key.
    pub(super) fn set_token_key(&mut self, key: TokenKey) {
        if self.mesh.token_key.as_ref() != Some(&key) {
            self.mesh.token_key = Some(key);
            self.serial = self.sidecars.publish(&self.mesh, &self.state);
        }
    }

    /// Evaluates every running release, appends the resulting events and updates the view. A second pass follows if the
    /// first decided something; its decisions are in the state of the view at once, and in the progress after the next call.
    pub fn advance(&mut self) {
        let times = self.clock.times();
        let now = times.now;
        self.observe_stable_versions(now);
        self.rollbacks.update(&*self.sidecars, now);
        let origin = Origin::component("controller");
        self.watch_versions(now, &origin);
        let mut progress = BTreeMap::new();
        for _ in 0..MAX_PASSES {
            let state = Arc::clone(&self.state);
            progress = self.evaluate_all(&state, times, &origin);
            let closed = state.services.values().filter_map(|it| close_expired_window(it, now));
            for event in closed {
                self.commit_own(now, vec![event], &origin);
            }
            if Arc::ptr_eq(&state, &self.state) {
                break;
            }
        }
        self.progress = progress;
        self.update_view();
    }

    /// Progress of the releases that are still running after this pass.
    fn evaluate_all(
        &mut self,
        state: &State,
        times: Times,
        origin: &Origin,
    ) -> BTreeMap<ReleaseId, Progress> {
        let mut all = BTreeMap::new();
        for group in state.running_groups() {
            let (events, progress) = self.evaluate(state, &group, times);
            self.commit_own(times.now, events, origin);
            all.extend(progress);
        }
        all.retain(|id, _| self.state.release(id).is_some_and(Release::is_running));
        all
    }

    /// Commits a decision of the controller. A failed append sets [`DeliveryView::halted`]; the next evaluation decides the
    /// same again.
    pub(super) fn commit_own(&mut self, now: Timestamp, events: Vec<Event>, origin: &Origin) {
        let _halted = self.commit(now, events, origin, None);
    }

    /// Evaluates the releases of one group, or a single release.
    pub(super) fn evaluate(
        &mut self,
        state: &State,
        group: &[GroupedRelease<'_>],
        Times { now, wall }: Times,
    ) -> (Vec<Event>, Vec<(ReleaseId, Progress)>) {
        let observations: Vec<_> = group
            .iter()
            .map(|(service, release)| self.observe(state, service, release, now))
            .collect();
        let contexts: Vec<_> = group
            .iter()
            .zip(&observations)
            .map(|(&(service, release), seen)| ReleaseContext {
                state,
                service,
                release,
                now,
                wall,
                seen,
            })
            .collect();
        let (events, progress) = decide_progress(&contexts);
        let ids = group.iter().map(|(_, release)| release.id.clone());
        (events, ids.zip(progress).collect())
    }

    /// Appends, then publishes, then announces. If the append fails, nothing has changed: traffic is unchanged even where a
    /// rollback is due, because the next restart would undo a decision that is not in the journal.
    fn commit(
        &mut self,
        at: Timestamp,
        events: Vec<Event>,
        origin: &Origin,
        mesh: Option<Mesh>,
    ) -> Result<(), CommandError> {
        if events.is_empty() {
            if let Some(mesh) = mesh {
                self.mesh = mesh;
            }
            return Ok(());
        }
        let urgent = events.iter().find_map(|event| match event {
            Event::RolledBack { id, .. } => Some(id.clone()),
            _ => None,
        });
        match self.append(at, events, origin) {
            Ok(records) => {
                if self.halted.take().is_some() {
                    info!("the journal is writable again");
                }
                // A new mesh may change listeners without changing a service.
                let changed = mesh.is_some() || records.iter().any(changes_resources);
                if let Some(mesh) = mesh {
                    self.mesh = mesh;
                }
                if changed {
                    self.serial = self.sidecars.publish(&self.mesh, &self.state);
                }
                records.into_iter().for_each(|record| self.announce(record));
                self.save_snapshot_if_due(at);
                Ok(())
            }
            Err(error) => {
                self.halt(urgent.as_ref(), &error);
                Err(error)
            }
        }
    }

    /// Folds the events before it appends them, so every appended event can be replayed.
    fn append(
        &mut self,
        at: Timestamp,
        events: Vec<Event>,
        origin: &Origin,
    ) -> Result<Vec<Record>, CommandError> {
        let mut next = State::clone(&self.state);
        for event in &events {
            next.apply(at, event)?;
        }
        let new: Vec<_> = events
            .into_iter()
            .map(|event| NewRecord {
                at,
                actor: origin.actor.clone(),
                reason: origin.reason.clone(),
                event,
            })
            .collect();
        let records = self.journal.append(&new)?;
        self.state = Arc::new(next);
        let figures = Arc::make_mut(&mut self.figures);
        new.iter().for_each(|it| figures.take(at, &it.event));
        Ok(records)
    }

    fn announce(&mut self, record: Record) {
        self.seq = record.seq;
        decision_log::log(&record);
        match record.event.event() {
            Event::ReleaseStarted { id, .. } | Event::StepEntered { id, .. } => {
                self.start_step_windows(&id.clone());
            }
            Event::Resumed { id } => {
                let overruled = self.state.release(id).is_some_and(|it| !it.overridden.is_empty());
                if let Some(windows) = self.step_windows.get_mut(id).filter(|_| overruled) {
                    windows.overrule();
                }
            }
            Event::StepConverged { id, .. } => self.restart_step_windows(&id.clone()),
            Event::RolledBack { id, .. } | Event::Completed { id, .. } => {
                self.step_windows.remove(id);
                self.query_samples.end(id);
            }
            _ => {}
        }
        if let Event::RolledBack { .. } | Event::StableRestored { .. } = record.event.event()
            && let Some(service) = record.event.event().service().and_then(|it| it.parse().ok())
        {
            self.rollbacks.begin(service, self.serial, record.at);
        }
        // Fails without subscribers.
        self.records.send(record).ok();
    }

    /// Saves a snapshot every [`SNAPSHOT_INTERVAL`] records. If that fails, the next start replays more records.
    pub(super) fn save_snapshot_if_due(&mut self, at: Timestamp) {
        if self.seq < self.snapshot_seq.saturating_add(SNAPSHOT_INTERVAL) {
            return;
        }
        // Also after a failure, so that a full disk is not retried with every decision.
        self.snapshot_seq = self.seq;
        let folded = FoldedState {
            state: State::clone(&self.state),
            figures: Figures::clone(&self.figures),
        };
        match self.journal.save_snapshot(at, &folded) {
            Ok(()) => info!(seq = self.seq, "snapshot saved"),
            Err(error) => warn!(%error, "snapshot not saved; the next start replays more records"),
        }
    }

    fn halt(&mut self, urgent: Option<&ReleaseId>, error: &CommandError) {
        let reason = match urgent {
            Some(release) => {
                format!(
                    "release `{release}` must be rolled back, but the journal cannot be written: {error}"
                )
            }
            None => error.to_string(),
        };
        if self.halted.as_ref() != Some(&reason) {
            error!(
                reason,
                "no decisions while the journal cannot be written; traffic is unchanged"
            );
        }
        self.halted = Some(reason);
    }

    /// Replaces the view if its content has changed.
    pub(super) fn update_view(&mut self) {
        self.skew_log.update(self.clock.skew());
        let view = DeliveryView {
            state: Arc::clone(&self.state),
            figures: Arc::clone(&self.figures),
            progress: self.progress.clone(),
            seq: self.seq,
            serial: self.serial,
            halted: self.halted.clone(),
        };
        self.view.send_if_modified(|shown| {
            let changed = !shown.is_same_as(&view);
            if changed {
                *shown = Arc::new(view);
            }
            changed
        });
    }
}

fn changes_resources(record: &Record) -> bool {
    record.event.event().changes_resources()
}
