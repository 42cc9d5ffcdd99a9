//! Start of the engine: replay, configuration, first publication.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};

use super::engine::Engine;
use super::rollback_times::PendingRollbacks;
use crate::clock::SkewLog;
use crate::controller::{CommandError, Configuration, DeliveryView, Origin, Parts, StartError};
use crate::journal::{self, Record, Replayed};
use tidegate_delivery::model::command::Refusal;
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::reducer::VersionWatches;
use tidegate_delivery::text;

impl Engine {
    /// Replays the journal, applies the configuration and publishes the resources.
    ///
    /// # Errors
    /// If the journal cannot be replayed, or the configuration is rejected.
    pub fn start(
        parts: Parts,
        view: watch::Sender<Arc<DeliveryView>>,
        records: broadcast::Sender<Record>,
    ) -> Result<Self, StartError> {
        let mut engine = Self {
            journal: parts.journal,
            sidecars: parts.sidecars,
            evidence_source: parts.evidence_source,
            clock: parts.clock,
            state: Arc::default(),
            figures: Arc::default(),
            seq: 0,
            snapshot_seq: 0,
            mesh: parts.mesh.clone(),
            serial: 0,
            skew_log: SkewLog::default(),
            halted: None,
            step_windows: BTreeMap::new(),
            histories: BTreeMap::new(),
            watches: VersionWatches::default(),
            rollbacks: PendingRollbacks::new(parts.rollback_times),
            progress: BTreeMap::new(),
            view,
            records,
        };
        engine.replay()?;
        let Parts { version, mesh, services, freeze_windows, .. } = parts;
        engine.mesh.fleets.clone_from(&engine.state.fleets);
        let allow = BTreeSet::new();
        let configuration = Configuration { version, services, freeze_windows, allow, mesh };
        let (command, mesh) = configuration.split();
        let applied = match engine.reconfigure(&command, mesh, &Engine::origin()) {
            // The configuration changed while the server was stopped, or was refused before.
            Err(CommandError::Refused(refusal @ Refusal::TakesAway { .. })) => {
                warn!(%refusal, "the services, fleets and freeze windows of the journal stay in force");
                false
            }
            other => {
                other.map_err(StartError::Configuration)?;
                true
            }
        };
        if let Some(applied) = &engine.state.configuration
            && !applied.withheld.is_empty()
        {
            warn!(configuration = %applied.version, "{}", text::withheld(&applied.withheld));
        }
        // The flags of the configuration initialise a journal in which flags never changed. They route its services.
        if let Some(flags) = parts.flags.filter(|_| applied && engine.state.flag_revision == 0) {
            match engine.command(&FlagChange::Replace(flags).into(), &Engine::origin()) {
                // The file may have been added while the server ran: a restart does not fail for it.
                Err(error @ (CommandError::Refused(_) | CommandError::Unpublishable(_))) => {
                    warn!(%error, "the flags of the configuration are not set");
                }
                other => drop(other.map_err(StartError::Configuration)?),
            }
        }
        engine.serial = engine.sidecars.publish(&engine.mesh, &engine.state);
        for release in Arc::clone(&engine.state).running() {
            engine.start_step_windows(&release.id);
        }
        // For the view only: the events are dropped, the first `advance` decides.
        let (state, times) = (Arc::clone(&engine.state), engine.clock.times());
        for group in state.running_groups() {
            let (_, progress) = engine.evaluate(&state, &group, times);
            engine.progress.extend(progress);
        }
        engine.update_view();
        // Not an error: the flags of the journal can only be corrected while the server runs.
        if let Err(invalid) = tidegate_xds::resources::check_filters(&engine.mesh, &engine.state) {
            error!(%invalid, "sidecars will reject what is published, and keep what they have");
        }
        Ok(engine)
    }

    fn replay(&mut self) -> Result<(), StartError> {
        let Replayed { folded, seq, at, snapshot } = journal::resume(&mut *self.journal)?;
        self.clock.not_before(at);
        (self.seq, self.snapshot_seq) = (seq, snapshot);
        info!(seq, snapshot, services = folded.state.services.len(), "journal replayed");
        self.state = Arc::new(folded.state);
        self.figures = Arc::new(folded.figures);
        self.save_snapshot_if_due(at);
        Ok(())
    }

    fn origin() -> Origin {
        Origin::component("configuration")
    }
}
