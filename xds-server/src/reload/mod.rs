//! Configuration changes at run time, from the file or the API.
//!
//! A configuration is applied as a whole or not at all, except for services that a running release
//! withholds. It is checked as at the start, rejected if it needs a restart or takes away something
//! that serves traffic and is not allowed by name, journaled, and then passed to the [`Appliers`].
//!
//! The last accepted configuration is in force. One from the API stays in force until the file
//! changes, SIGHUP, or a restart, because a server starts from its file. A file that takes away
//! something that serves traffic is refused in all these cases, also at the start: the services,
//! fleets and freeze windows of the journal stay in force.

mod dry_run;
mod error;
mod probe;
#[cfg(test)]
mod tests;
mod watcher;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;
use tracing::info;

pub use self::dry_run::DryRun;
pub use self::error::ReloadError;
pub use self::probe::{ProbeError, Probed, Unreachable};
pub use self::watcher::{FileStatus, FileWatcher, POLL_INTERVAL, ReloadFailure};
use crate::auth::access::Access;
use crate::clock::Clock;
use crate::config::{self, Config, Receiver};
use crate::controller::{Configuration, Handle, Origin};
use crate::effects::smoke::Previews;
use crate::istio::tokens::KeyStore;
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::model::command::Outcome;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::mesh::Fleet;
use tidegate_xds::mesh::{Mesh, PreviewKey};

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
    /// Passes on a configuration. The fleets in force may select more services than those of the configuration.
    fn apply(&self, config: &Config, fleets: &[Fleet]) {
        self.access.set_identities(config.identities.clone());
        let mesh = Mesh { fleets: fleets.to_vec(), ..config.mesh.clone() };
        self.previews.send_replace(Previews::of_mesh(&mesh));
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
        allow: BTreeSet<Loss>,
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
                let fleets = Arc::clone(&this.controller.view().borrow().state.fleets);
                this.appliers.apply(&config, &fleets);
                info!(hash = config.hash, ?source, "{outcome}");
            }
            *current = config;
            Ok(outcome)
        });
        all.await?
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

fn configuration(config: &Config, source: Source, allow: BTreeSet<Loss>) -> Configuration {
    Configuration {
        version: Version { hash: config.hash.clone(), source },
        services: config.services.clone(),
        freeze_windows: config.freeze_windows.clone(),
        allow,
        mesh: config.mesh.clone(),
    }
}
