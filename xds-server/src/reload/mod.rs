//! Configurations that come while the server runs, from the file or from somebody who sends one.
//! Each is taken as a whole or not at all: checked as at the start, refused if the server would
//! have to start again for it or if it changes what a running release is about, journaled, and
//! only then given to the parts that it is for.
//!
//! The file and the API are two ways in for the same thing, and the last one that is taken counts.
//! So whatever is sent holds until the file changes, or the server starts: it always starts on its
//! file, because a control plane must come up as its repository says, not as somebody once asked.

mod error;
mod file;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tracing::info;

pub use self::error::ReloadError;
pub use self::file::{FileStatus, Follower, PERIOD, Trouble};
use crate::clock::{Clock, Times};
use crate::config::{self, Config, Receiver};
use crate::controller::{Configuration, Handle, Origin};
use crate::door::access::Access;
use crate::effects::smoke::Previews;
use tidegate_delivery::model::command::{CommandContext, Outcome};
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::reducer::decide_command;
use tidegate_xds::mesh::PreviewKey;

/// Where a configuration goes, beside the controller.
#[derive(Debug)]
pub struct Outlets {
    /// Who may be of which fleet.
    pub access: Arc<Access>,
    /// The ways of smoke tests.
    pub previews: watch::Sender<Previews>,
    /// Who is told.
    pub receivers: watch::Sender<Vec<Receiver>>,
}

impl Outlets {
    fn take(&self, config: &Config) {
        self.access.admit_by(config.identities.clone());
        self.previews.send_replace(Previews::of_mesh(&config.mesh));
        let receivers = &config.notifications;
        self.receivers.send_if_modified(|known| {
            let changed = known != receivers;
            known.clone_from(receivers);
            changed
        });
    }
}

/// Takes configurations, one at a time.
#[derive(Debug)]
pub struct Reloader {
    controller: Handle,
    clock: Clock,
    /// What paths in a configuration are relative to: the file's directory.
    base: PathBuf,
    /// The one that counts. Whoever changes it holds it until all parts have the new one.
    running: Mutex<Config>,
    outlets: Outlets,
}

impl Reloader {
    /// One whose server runs on this configuration.
    #[must_use]
    pub fn new(
        controller: Handle,
        clock: Clock,
        base: PathBuf,
        running: Config,
        outlets: Outlets,
    ) -> Arc<Self> {
        Arc::new(Self { controller, clock, base, running: Mutex::new(running), outlets })
    }

    /// Takes a configuration's text.
    ///
    /// # Errors
    /// When it is not taken. Nothing has changed then.
    pub async fn apply(
        self: &Arc<Self>,
        text: String,
        source: Source,
        origin: Origin,
    ) -> Result<Outcome, ReloadError> {
        let this = Arc::clone(self);
        // Not left half-way if whoever asked goes away.
        let all = tokio::spawn(async move {
            let config = this.check(text).await?;
            let mut running = this.running.lock().await;
            let config = fit(&running, config)?;
            let outcome = this.controller.configure(configuration(&config, source), origin).await?;
            if outcome.changed {
                this.outlets.take(&config);
                info!(hash = config.hash, ?source, "{}", outcome.message);
            }
            *running = config;
            Ok(outcome)
        });
        all.await?
    }

    /// What would become of a configuration's text, if it were applied now.
    ///
    /// # Errors
    /// When it would not be taken.
    pub async fn try_out(&self, text: String, origin: &Origin) -> Result<Outcome, ReloadError> {
        let config = self.check(text).await?;
        let needs = self.running.lock().await.needs_restart(&config);
        if !needs.is_empty() {
            return Err(ReloadError::NeedsRestart(needs));
        }
        let (command, _) = configuration(&config, Source::Api).split();
        let state = Arc::clone(&self.controller.view().borrow().state);
        let Origin { actor, reason } = origin;
        let Times { now: at, wall } = self.clock.times();
        let command_context = CommandContext { actor, reason: reason.as_deref(), at, wall };
        let (_, outcome) = decide_command(&state, &command_context, &command)?;
        let message = format!("nothing is changed yet; applied, {}", outcome.message);
        Ok(Outcome { message, ..outcome })
    }

    async fn check(&self, text: String) -> Result<Config, ReloadError> {
        let base = self.base.clone();
        // It may read other files.
        let checked = spawn_blocking(move || config::check(&text, &base)).await?;
        checked.map_err(ReloadError::Invalid)
    }
}

/// Another configuration, completed with what the server that runs on the first has of its own.
fn fit(running: &Config, mut config: Config) -> Result<Config, ReloadError> {
    let needs = running.needs_restart(&config);
    if !needs.is_empty() {
        return Err(ReloadError::NeedsRestart(needs));
    }
    config.mesh.preview_key = running.mesh.preview_key.clone();
    if config.mesh.has_previews() && config.mesh.preview_key == PreviewKey::default() {
        config.mesh.preview_key =
            config::preview_key(&running.data_dir).map_err(ReloadError::PreviewKey)?;
    }
    Ok(config)
}

fn configuration(config: &Config, source: Source) -> Configuration {
    Configuration {
        version: Version { hash: config.hash.clone(), source },
        services: config.services.clone(),
        freeze_windows: config.freeze_windows.clone(),
        mesh: config.mesh.clone(),
    }
}
