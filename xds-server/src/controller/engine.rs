//! The controller without its loop: decides, appends, publishes and shows, in that order.
//!
//! The engine is synchronous. Its caller passes commands to [`Engine::command`] and calls [`Engine::advance`] after each
//! of them, when reports or acknowledgements came in, and at least every [`super::writer::TICK`], because time alone can
//! end a step. An append waits for the disk, so the caller runs on a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};

use super::handle::{CommandError, Origin};
use super::observe::{Epoch, Tally};
use super::view::View;
use super::{Counts, Sidecars, log};
use crate::clock::{Clock, SkewLog};
use crate::journal::{Folded, Journal, NewRecord, Record};
use tidegate_delivery::figures::Figures;
use tidegate_delivery::model::command::{Command, CommandContext, Outcome};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::group::GroupedRelease;
use tidegate_delivery::model::progress::{Observation, Progress};
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::ReleaseId;
use tidegate_delivery::reducer::{
    ReleaseContext, close_expired_window, decide_command, decide_progress,
};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::mesh::Mesh;

/// Most evaluations in a row while each of them decides something: a step that all sidecars acknowledge at once
/// begins without waiting for the next tick.
const MAX_PASSES: usize = 2;
/// Records between two snapshots. One is written before the next decision.
const SNAPSHOT_INTERVAL: u64 = 10_000;

/// See the module.
pub struct Engine {
    pub(super) journal: Box<dyn Journal>,
    pub(super) sidecars: Box<dyn Sidecars>,
    pub(super) counts: Box<dyn Counts>,
    pub(super) clock: Clock,
    pub(super) state: Arc<State>,
    pub(super) figures: Arc<Figures>,
    pub(super) seq: u64,
    /// The record up to which the next start need not replay.
    pub(super) kept: u64,
    pub(super) mesh: Mesh,
    pub(super) serial: u64,
    pub(super) skew: SkewLog,
    pub(super) halted: Option<String>,
    /// Of each running release: what its step began with.
    pub(super) epochs: BTreeMap<ReleaseId, Epoch>,
    /// What the last evaluation of each running release found.
    pub(super) progress: BTreeMap<ReleaseId, Progress>,
    pub(super) view: watch::Sender<Arc<View>>,
    pub(super) records: broadcast::Sender<Record>,
}

impl Engine {
    /// Decides a command and appends what follows from it.
    ///
    /// # Errors
    /// When the command is rejected, or cannot be written. Nothing has changed then.
    pub fn command(&mut self, command: &Command, origin: &Origin) -> Result<Outcome, CommandError> {
        self.decide(command, origin, None)
    }

    fn decide(
        &mut self,
        command: &Command,
        origin: &Origin,
        mesh: Option<Mesh>,
    ) -> Result<Outcome, CommandError> {
        let now = self.clock.now();
        let Origin { actor, reason } = origin;
        let command_context = CommandContext { actor, reason: reason.as_deref(), at: now };
        let (events, outcome) = decide_command(&self.state, &command_context, command)?;
        self.commit(now, events, origin, mesh)?;
        Ok(outcome)
    }

    /// Applies a configuration. One publication has its services and its mesh, or neither.
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

    /// Evaluates every running release, appends what follows from it, and shows the result. Each release is evaluated
    /// once, and once more in a second pass if the first decided something. What that pass decides is in the state that is
    /// shown, and in the progress from the next call on.
    pub fn advance(&mut self) {
        let now = self.clock.now();
        let origin = Origin::part("controller");
        let mut progress = BTreeMap::new();
        for _ in 0..MAX_PASSES {
            let state = Arc::clone(&self.state);
            progress = self.evaluate_all(&state, now, &origin);
            let closed = state.services.values().filter_map(|it| close_expired_window(it, now));
            for event in closed {
                self.commit_own(now, vec![event], &origin);
            }
            if Arc::ptr_eq(&state, &self.state) {
                break;
            }
        }
        self.progress = progress;
        self.show();
    }

    /// Releases that ended in this pass have no progress any more.
    fn evaluate_all(
        &mut self,
        state: &State,
        now: Timestamp,
        origin: &Origin,
    ) -> BTreeMap<ReleaseId, Progress> {
        let mut all = BTreeMap::new();
        for group in state.running_groups() {
            let (events, progress) = self.evaluate(state, &group, now);
            self.commit_own(now, events, origin);
            all.extend(progress);
        }
        all.retain(|id, _| self.state.release(id).is_some_and(Release::is_running));
        all
    }

    /// A failed append halts the engine, which the view shows. The next evaluation decides the same again.
    fn commit_own(&mut self, now: Timestamp, events: Vec<Event>, origin: &Origin) {
        let _halted = self.commit(now, events, origin, None);
    }

    /// Evaluates the releases of a group, or one that belongs to none.
    pub(super) fn evaluate(
        &mut self,
        state: &State,
        group: &[GroupedRelease<'_>],
        now: Timestamp,
    ) -> (Vec<Event>, Vec<(ReleaseId, Progress)>) {
        let seen: Vec<_> =
            group.iter().map(|(service, release)| self.observe(service, release, now)).collect();
        let contexts: Vec<_> = group
            .iter()
            .zip(&seen)
            .map(|(&(service, release), seen)| ReleaseContext {
                state,
                service,
                release,
                now,
                seen,
            })
            .collect();
        let (events, progress) = decide_progress(&contexts);
        let ids = group.iter().map(|(_, release)| release.id.clone());
        (events, ids.zip(progress).collect())
    }

    fn observe(
        &mut self,
        service: &ServiceState,
        release: &Release,
        now: Timestamp,
    ) -> Observation {
        let guardrails = &service.spec.guardrails;
        let counted = Tally::of(&*self.counts, release, guardrails);
        let epoch = self
            .epochs
            .entry(release.id.clone())
            .or_insert_with(|| Epoch::begin(self.serial, now, counted, None));
        epoch.observe(now, counted, self.counts.unbroken(now), guardrails, &*self.sidecars)
    }

    /// Appends, then publishes, then announces. If the append fails, nothing has changed: traffic stays as it is, even where
    /// a rollback is due, because the next restart would undo a decision that is not in the journal.
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
                    info!("the journal can be written again");
                }
                // The mesh counts as a change: a configuration of other listeners changes no service.
                let changed = mesh.is_some() || records.iter().any(changes_resources);
                if let Some(mesh) = mesh {
                    self.mesh = mesh;
                }
                if changed {
                    self.serial = self.sidecars.publish(&self.mesh, &self.state);
                }
                records.into_iter().for_each(|record| self.announce(record));
                self.keep(at);
                Ok(())
            }
            Err(error) => {
                self.halt(urgent.as_ref(), &error);
                Err(error)
            }
        }
    }

    /// Nothing is written that would not fold again.
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
        log::decided(&record);
        match record.event.event() {
            Event::ReleaseStarted { id, .. } | Event::StepEntered { id, .. } => {
                self.begin_epoch(&id.clone());
            }
            Event::StepConverged { id, .. } => self.restart_epoch(&id.clone()),
            Event::RolledBack { id, .. } | Event::Completed { id, .. } => {
                self.epochs.remove(id);
            }
            _ => {}
        }
        // Nobody may be listening.
        self.records.send(record).ok();
    }

    /// Keeps a snapshot once enough was decided since the last. It is a copy: without it nothing
    /// is lost but time at the next start.
    pub(super) fn keep(&mut self, at: Timestamp) {
        if self.seq < self.kept.saturating_add(SNAPSHOT_INTERVAL) {
            return;
        }
        // Whether it succeeds or not, the next try is as far away: a full disk is not tried again
        // with every decision.
        self.kept = self.seq;
        let folded =
            Folded { state: State::clone(&self.state), figures: Figures::clone(&self.figures) };
        match self.journal.keep(at, &folded) {
            Ok(()) => info!(seq = self.seq, "snapshot kept"),
            Err(error) => warn!(%error, "no snapshot kept: the next start replays more"),
        }
    }

    pub(super) fn begin_epoch(&mut self, id: &ReleaseId) {
        let Some(counted) = self.count(id) else {
            return;
        };
        let before = self.epochs.remove(id);
        let epoch = Epoch::begin(self.serial, self.clock.now(), counted, before);
        self.epochs.insert(id.clone(), epoch);
    }

    /// The serial stays: what was published since for others is not what this step waited for.
    fn restart_epoch(&mut self, id: &ReleaseId) {
        let Some(counted) = self.count(id) else {
            return;
        };
        let now = self.clock.now();
        if let Some(epoch) = self.epochs.get_mut(id) {
            epoch.restart(now, counted);
        }
    }

    /// What is counted now of a running release.
    fn count(&self, id: &ReleaseId) -> Option<Tally> {
        let service = self.state.service_of(id)?;
        let release = service.running()?;
        Some(Tally::of(&*self.counts, release, &service.spec.guardrails))
    }

    fn halt(&mut self, urgent: Option<&ReleaseId>, error: &CommandError) {
        let reason = match urgent {
            Some(release) => {
                format!("release `{release}` must go back, and cannot: {error}")
            }
            None => error.to_string(),
        };
        if self.halted.as_ref() != Some(&reason) {
            error!(reason, "nothing can be decided; traffic stays as it is");
        }
        self.halted = Some(reason);
    }

    /// Replaces the view if anything in it has changed.
    pub(super) fn show(&mut self) {
        self.skew.look(self.clock.skew());
        let view = View {
            state: Arc::clone(&self.state),
            figures: Arc::clone(&self.figures),
            progress: self.progress.clone(),
            seq: self.seq,
            serial: self.serial,
            halted: self.halted.clone(),
        };
        self.view.send_if_modified(|shown| {
            let changed = !shown.looks_like(&view);
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
