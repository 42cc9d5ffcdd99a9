//! The controller's loop and the only place that appends to the journal.

mod start;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{error, info, warn};

use super::handle::{CommandError, Origin, Request};
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

/// How often it looks when nobody wakes it: time passes too.
const TICK: Duration = Duration::from_millis(100);
/// How soon after a look it can be woken for the next: thousands of sidecars report all the time.
const PACE: Duration = Duration::from_millis(10);
/// How often it looks in a row while each look decides something: a step that every sidecar has
/// at once begins at once.
const LOOKS: usize = 2;
/// Records between two snapshots: few enough to replay in a moment, and enough for a snapshot, which
/// is written before the next decision, to cost nothing beside them.
const SNAPSHOT: u64 = 10_000;

pub(super) struct Writer {
    journal: Box<dyn Journal>,
    sidecars: Box<dyn Sidecars>,
    counts: Box<dyn Counts>,
    clock: Clock,
    state: Arc<State>,
    figures: Arc<Figures>,
    seq: u64,
    /// The record up to which the next start need not replay.
    kept: u64,
    mesh: Mesh,
    serial: u64,
    skew: SkewLog,
    halted: Option<String>,
    /// Of each running release: what its step began with.
    epochs: BTreeMap<ReleaseId, Epoch>,
    view: watch::Sender<Arc<View>>,
    records: broadcast::Sender<Record>,
}

impl Writer {
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>, wake: Arc<Notify>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rested = Instant::now();
        loop {
            let woken = async {
                sleep_until(rested).await;
                wake.notified().await;
            };
            tokio::select! {
                request = requests.recv() => match request {
                    None => return,
                    Some(Request::Stop { done }) => {
                        // The journal is closed first: that is what the other side waits for.
                        drop(self);
                        done.send(()).ok();
                        return;
                    }
                    Some(Request::Command { command, origin, reply }) => {
                        let outcome = self.command(&command, &origin);
                        self.advance();
                        // Who asked may have gone away; it is done all the same.
                        reply.send(outcome).ok();
                    }
                    Some(Request::Configure { configuration, origin, reply }) => {
                        let (command, mesh) = configuration.split();
                        let outcome = self.reconfigure(&command, mesh, &origin);
                        self.advance();
                        reply.send(outcome).ok();
                    }
                    Some(Request::Events { after, limit, reply }) => {
                        let page = self.journal.read(after, limit);
                        reply.send(page.map_err(CommandError::Journal)).ok();
                    }
                },
                () = woken => self.advance(),
                _ = tick.tick() => self.advance(),
            }
            rested = Instant::now() + PACE;
        }
    }

    fn command(&mut self, command: &Command, origin: &Origin) -> Result<Outcome, CommandError> {
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

    /// The one publication that follows has the services and the mesh, or none of them.
    fn reconfigure(
        &mut self,
        command: &Command,
        mesh: Mesh,
        origin: &Origin,
    ) -> Result<Outcome, CommandError> {
        self.decide(command, origin, Some(mesh))
    }

    /// Looks at every running release, and does what follows.
    fn advance(&mut self) {
        let now = self.clock.now();
        let origin = Origin::part("controller");
        for _ in 0..LOOKS {
            let before = Arc::clone(&self.state);
            for team in before.teams() {
                let (events, _) = self.look(&before, &team, now);
                // A failure halts it, for all to see, and the next look decides again.
                self.commit(now, events, &origin, None).ok();
            }
            let closed = before.services.values().filter_map(|it| close_expired_window(it, now));
            for event in closed {
                self.commit(now, vec![event], &origin, None).ok();
            }
            if Arc::ptr_eq(&before, &self.state) {
                break;
            }
        }
        self.show(now);
    }

    /// Looks at releases that go together.
    fn look(
        &mut self,
        state: &State,
        team: &[GroupedRelease<'_>],
        now: Timestamp,
    ) -> (Vec<Event>, Vec<Progress>) {
        let seen: Vec<_> =
            team.iter().map(|(service, release)| self.observe(service, release, now)).collect();
        let sights: Vec<_> = team
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
        decide_progress(&sights)
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

    /// Journal first, then the sidecars, then everybody else. If it cannot be written, nothing
    /// happened: traffic stays as it is, even where it should go back, because a decision that
    /// is not in the journal would be undone by the next restart.
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
                if let Some(mesh) = mesh {
                    self.mesh = mesh;
                }
                self.serial = self.sidecars.publish(&self.mesh, &self.state);
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
    fn keep(&mut self, at: Timestamp) {
        if self.seq < self.kept.saturating_add(SNAPSHOT) {
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

    fn begin_epoch(&mut self, id: &ReleaseId) {
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

    fn show(&mut self, now: Timestamp) {
        self.skew.look(self.clock.skew());
        let state = Arc::clone(&self.state);
        let progress = state
            .teams()
            .flat_map(|team| {
                let (_, progress) = self.look(&state, &team, now);
                let ids = team.into_iter().map(|(_, release)| release.id.clone());
                ids.zip(progress).collect::<Vec<_>>()
            })
            .collect();
        let view = View {
            state,
            figures: Arc::clone(&self.figures),
            progress,
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
