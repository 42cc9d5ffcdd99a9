//! The start of the engine: replay, configuration, first publication.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tracing::{info, warn};

use super::engine::Engine;
use crate::clock::SkewLog;
use crate::controller::{CommandError, Origin, Parts, StartError, View};
use crate::journal::{self, Record, Replayed};
use tidegate_delivery::model::command::{Command, Refusal};

impl Engine {
    /// Replays the journal, applies the configuration and publishes what follows.
    ///
    /// # Errors
    /// When the journal or the configuration does not allow it.
    pub fn start(
        parts: Parts,
        view: watch::Sender<Arc<View>>,
        records: broadcast::Sender<Record>,
    ) -> Result<Self, StartError> {
        let mut engine = Self {
            journal: parts.journal,
            sidecars: parts.sidecars,
            counts: parts.counts,
            clock: parts.clock,
            state: Arc::default(),
            figures: Arc::default(),
            seq: 0,
            kept: 0,
            mesh: parts.mesh,
            serial: 0,
            skew: SkewLog::default(),
            halted: None,
            epochs: BTreeMap::new(),
            progress: BTreeMap::new(),
            view,
            records,
        };
        engine.replay()?;
        let Parts { version, services, freeze_windows, .. } = parts;
        match engine.configure(&Command::ApplyConfiguration { version, services, freeze_windows }) {
            // It was refused while the server ran, or was written while it did not. Either way the
            // release must go on, under the services that it began with.
            Err(StartError::Configuration(CommandError::Refused(
                refusal @ Refusal::MidRelease { .. },
            ))) => warn!(%refusal, "the services stay as the journal has them"),
            other => other?,
        }
        if let Some(flags) = parts.flags
            && engine.state.flags.is_empty()
            && engine.state.evaluators.is_empty()
        {
            engine.configure(&Command::ReplaceFlags(flags))?;
        }
        engine.serial = engine.sidecars.publish(&engine.mesh, &engine.state);
        for release in Arc::clone(&engine.state).running() {
            engine.begin_epoch(&release.id);
        }
        // Decides nothing before the caller begins: an evaluation for the view alone.
        let (state, now) = (Arc::clone(&engine.state), engine.clock.now());
        for group in state.running_groups() {
            let (_, progress) = engine.evaluate(&state, &group, now);
            engine.progress.extend(progress);
        }
        engine.show();
        Ok(engine)
    }

    fn replay(&mut self) -> Result<(), StartError> {
        let Replayed { folded, seq, at, snapshot } = journal::resume(&mut *self.journal)?;
        self.clock.not_before(at);
        (self.seq, self.kept) = (seq, snapshot);
        info!(seq, snapshot, services = folded.state.services.len(), "journal replayed");
        self.state = Arc::new(folded.state);
        self.figures = Arc::new(folded.figures);
        self.keep(at);
        Ok(())
    }

    fn configure(&mut self, command: &Command) -> Result<(), StartError> {
        self.command(command, &Origin::part("configuration"))
            .map(|_| ())
            .map_err(StartError::Configuration)
    }
}
