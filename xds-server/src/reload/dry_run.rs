//! What a configuration would change, without applying it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::probe::{MAX_TIME, Probed, probe};
use super::{ReloadError, Reloader, configuration};
use crate::clock::Times;
use crate::config::{Located, locate};
use crate::controller::{CommandError, Decided, NextMesh, Origin, decide};
use tidegate_delivery::changes::new_endpoints;
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::model::command::{CommandContext, Outcome};
use tidegate_delivery::model::configuration::Source;
use tidegate_delivery::model::state::State;
use tidegate_delivery::reducer::{Declared, changes_of};

/// The result of a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The outcome of applying it, with its losses allowed.
    pub outcome: Outcome,
    /// Its losses that are not allowed, for which it would be refused.
    pub refused: Vec<Loss>,
    /// All changes.
    pub changes: Vec<Located>,
    /// Connections to the endpoints that would serve traffic for the first time.
    pub probed: Probed,
}

impl Reloader {
    /// Decides as [`Reloader::apply`], and changes nothing. What would be refused for its losses is a result, no error.
    ///
    /// # Errors
    /// As [`Reloader::apply`].
    pub async fn dry_run(
        &self,
        text: String,
        mut allow: BTreeSet<Loss>,
        origin: &Origin,
    ) -> Result<DryRun, ReloadError> {
        let config = self.check(text.clone()).await?;
        let needs = self.current.lock().await.needs_restart(&config);
        if !needs.is_empty() {
            return Err(ReloadError::NeedsRestart(needs));
        }
        let state = Arc::clone(&self.controller.view().borrow().state);
        let Origin { actor, reason } = origin;
        let Times { now: at, wall } = self.clock.times();
        let command_context = CommandContext { actor, reason: reason.as_deref(), at, wall };
        let declared = Declared {
            fleets: &config.mesh.fleets,
            services: &config.services,
            freeze_windows: &config.freeze_windows,
        };
        let changes = changes_of(&state, at, &declared)?;
        let losses = changes.iter().filter_map(|it| it.loss.clone());
        let refused: Vec<_> = losses.filter(|it| !allow.contains(it)).collect();
        allow.extend(refused.iter().cloned());
        let (command, mesh) = configuration(&config, Source::Api, allow).split();
        let decided = decide(&state, &command_context, &command, NextMesh::Declared(mesh))?;
        let Decided { events, outcome, .. } = decided;
        let mut next = State::clone(&state);
        events.iter().try_for_each(|event| next.apply(at, event)).map_err(CommandError::from)?;
        let probed = probe(new_endpoints(&state, &next), MAX_TIME).await;
        Ok(DryRun { outcome, refused, changes: locate(&text, changes), probed })
    }
}
