//! Configuration changes at run time, from the file or the API.
//!
//! A configuration is applied as a whole or not at all, except for services that a running release
//! withholds. It is checked as at the start, rejected if it needs a restart or drops a version in use
//! that is not allowed by name, journaled, and then passed to the [`Appliers`].
//!
//! The last accepted configuration is in force. One from the API stays in force until the file
//! changes, SIGHUP, or a restart, because a server always starts from its file.

mod error;
#[cfg(test)]
mod tests;
mod watcher;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tracing::info;

pub use self::error::ReloadError;
pub use self::watcher::{FileStatus, FileWatcher, POLL_INTERVAL, ReloadFailure};
use crate::auth::access::Access;
use crate::clock::{Clock, Times};
use crate::config::{self, Config, Receiver};
use crate::controller::{Configuration, Handle, Origin, check_events};
use crate::effects::smoke::Previews;
use crate::istio::tokens::KeyStore;
use tidegate_delivery::model::command::{CommandContext, Outcome};
use tidegate_delivery::model::configuration::{ServiceVersion, Source, Version};
use tidegate_delivery::reducer::decide_command;
use tidegate_xds::mesh::PreviewKey;

/// The components beside the controller that a configuration is passed to.
#[derive(Debug)]
pub struct Appliers {
    /// Identities of the fleets.
    pub access: Arc<Access>,
    /// Preview listeners for smoke tests.
    pub previews: watch::Sender<Previews>,
    /// Receivers of notifications.
    pub receivers: watch::Sender<Vec<Receiver>>,
}

impl Appliers {
    fn apply(&self, config: &Config) {
        self.access.set_identities(config.identities.clone());
        self.previews.send_replace(Previews::of_mesh(&config.mesh));
        let receivers = &config.notifications;
        self.receivers.send_if_modified(|known| {
            let changed = known != receivers;
            known.clone_from(receivers);
            changed
        });
    }
}

/// Applies configurations, one at a time.
#[derive(Debug)]
pub struct Reloader {
    controller: Handle,
    clock: Clock,
    /// Directory of the file, which relative paths are resolved against.
    base: PathBuf,
    /// The configuration in force. A change holds the lock until all components have the new one.
    current: Mutex<Config>,
    appliers: Appliers,
}

impl Reloader {
    /// A reloader for a server that was started with `current`.
    #[must_use]
    pub fn new(
        controller: Handle,
        clock: Clock,
        base: PathBuf,
        current: Config,
        appliers: Appliers,
    ) -> Arc<Self> {
        Arc::new(Self { controller, clock, base, current: Mutex::new(current), appliers })
    }

    /// Checks and applies a configuration.
    ///
    /// # Errors
    /// When it is rejected or cannot be journaled.
    pub async fn apply(
        self: &Arc<Self>,
        text: String,
        source: Source,
        allow: BTreeSet<ServiceVersion>,
        origin: Origin,
    ) -> Result<Outcome, ReloadError> {
        let this = Arc::clone(self);
        // A task of its own, because the caller may drop this future before all components have it.
        let all = tokio::spawn(async move {
            let config = this.check(text).await?;
            let mut current = this.current.lock().await;
            let config = complete(&current, config)?;
            let command = configuration(&config, source, allow);
            let outcome = this.controller.configure(command, origin).await?;
            if outcome.changed {
                this.appliers.apply(&config);
                info!(hash = config.hash, ?source, "{}", outcome.message);
            }
            *current = config;
            Ok(outcome)
        });
        all.await?
    }

    /// The outcome that [`Reloader::apply`] would have, without applying.
    ///
    /// # Errors
    /// As [`Reloader::apply`].
    pub async fn dry_run(
        &self,
        text: String,
        allow: BTreeSet<ServiceVersion>,
        origin: &Origin,
    ) -> Result<Outcome, ReloadError> {
        let config = self.check(text).await?;
        let needs = self.current.lock().await.needs_restart(&config);
        if !needs.is_empty() {
            return Err(ReloadError::NeedsRestart(needs));
        }
        let (command, _) = configuration(&config, Source::Api, allow).split();
        let state = Arc::clone(&self.controller.view().borrow().state);
        let Origin { actor, reason } = origin;
        let Times { now: at, wall } = self.clock.times();
        let command_context = CommandContext { actor, reason: reason.as_deref(), at, wall };
        let (events, outcome) = decide_command(&state, &command_context, &command)?;
        check_events(&state, at, &events, &config.mesh, true)?;
        let message = format!("dry run, nothing is changed; if applied: {}", outcome.message);
        Ok(Outcome { message, ..outcome })
    }

    async fn check(&self, text: String) -> Result<Config, ReloadError> {
        let base = self.base.clone();
        // Reads the file of flags.
        let checked = spawn_blocking(move || config::check(&text, &base)).await?;
        checked.map_err(ReloadError::Invalid)
    }
}

/// Completes a new configuration with the preview key and the key of route tokens, which are created for the first preview
/// listener and the first Istio fleet.
fn complete(current: &Config, mut config: Config) -> Result<Config, ReloadError> {
    let needs = current.needs_restart(&config);
    if !needs.is_empty() {
        return Err(ReloadError::NeedsRestart(needs));
    }
    config.mesh.preview_key = current.mesh.preview_key.clone();
    if config.mesh.has_previews() && config.mesh.preview_key == PreviewKey::default() {
        config.mesh.preview_key =
            config::preview_key(&current.data_dir).map_err(ReloadError::PreviewKey)?;
    }
    if config.mesh.has_istio() {
        let keys = KeyStore::open(&current.data_dir)?.read()?;
        config.mesh.token_key = Some(keys.sent().clone());
    }
    Ok(config)
}

fn configuration(
    config: &Config,
    source: Source,
    allow: BTreeSet<ServiceVersion>,
) -> Configuration {
    Configuration {
        version: Version { hash: config.hash.clone(), source },
        services: config.services.clone(),
        freeze_windows: config.freeze_windows.clone(),
        allow,
        mesh: config.mesh.clone(),
    }
}
