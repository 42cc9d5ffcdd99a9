//! The server's half of a rotation of route tokens, whose steps [`super::tokens`] describes: filters receive the tokens of the
//! key that the command line activates, and the key before is retired once no sidecar uses it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::tokens::{KeyError, KeyStore, Keys};
use crate::controller::{CommandError, Handle};
use crate::xds::fleet::reporters::Reporters;
use tidegate_xds::resources::SnapshotSet;
use tidegate_xds::tokens::TokenKey;

/// Time between two reads of the file with the keys.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time before the key before is retired: after a start of the server every sidecar has reported by then.
const MIN_OVERLAP: Duration = Duration::from_secs(60);

/// Follows the keys of a data directory.
#[derive(Debug)]
pub struct Rotation {
    /// The data directory. It is not read before a fleet is one of an Istio mesh.
    pub data_dir: PathBuf,
    /// Publishes tokens.
    pub controller: Handle,
    /// Which configuration each sidecar has.
    pub reporters: Arc<Reporters>,
    /// The publications.
    pub snapshots: watch::Receiver<Arc<SnapshotSet>>,
}

/// What the last reads of the file have found.
#[derive(Debug, Default)]
struct Progress {
    /// The key whose tokens filters receive.
    sent: Option<TokenKey>,
    /// When the key before was found the first time.
    overlap_began: Option<Instant>,
    failure: Option<String>,
}

impl Rotation {
    /// Runs until the controller stops.
    pub async fn run(self) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut progress = Progress::default();
        loop {
            ticks.tick().await;
            if self.proceed(&mut progress).await.is_break() {
                return;
            }
        }
    }

    /// Reads the file once and follows it. Breaks if nothing can follow any more.
    async fn proceed(&self, progress: &mut Progress) -> ControlFlow<()> {
        if !self.snapshots.borrow().has_foreign() {
            return ControlFlow::Continue(());
        }
        let data_dir = self.data_dir.clone();
        let read = move || {
            let store = KeyStore::open(&data_dir)?;
            let keys = store.read()?;
            Ok::<_, KeyError>((store, keys))
        };
        match spawn_blocking(read).await {
            Ok(Ok((store, keys))) => {
                progress.failure = None;
                if let Err(CommandError::Stopped) = self.follow(progress, store, &keys).await {
                    return ControlFlow::Break(());
                }
            }
            Ok(Err(error)) => progress.warn(&error),
            Err(error) => {
                error!(%error, "the task that reads the keys of route tokens has failed");
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    async fn follow(
        &self,
        progress: &mut Progress,
        store: KeyStore,
        keys: &Keys,
    ) -> Result<(), CommandError> {
        let sent = keys.sent();
        if progress.sent.as_ref() != Some(sent) {
            self.controller.set_token_key(sent.clone()).await?;
            if progress.sent.replace(sent.clone()).is_some() {
                info!(key = %sent.id(), "filters receive the route tokens of another key");
            }
        }
        let Keys::Activated { previous, .. } = keys else {
            progress.overlap_began = None;
            return Ok(());
        };
        let began = *progress.overlap_began.get_or_insert_with(Instant::now);
        if began.elapsed() < MIN_OVERLAP || !self.reporters.all_have_newest() {
            return Ok(());
        }
        match spawn_blocking(move || store.retire()).await {
            Ok(Ok(_)) => {
                info!(key = %previous.id(), "no sidecar uses the route tokens of the key before; apply new manifests");
            }
            Ok(Err(error)) => progress.warn(&error),
            Err(error) => error!(%error, "the task that retires a key has failed"),
        }
        Ok(())
    }
}

impl Progress {
    /// Logs an error once.
    fn warn(&mut self, error: &KeyError) {
        let error = error.to_string();
        if self.failure.as_ref() != Some(&error) {
            warn!(
                error,
                "the rotation of route tokens does not proceed; filters keep those that they have"
            );
            self.failure = Some(error);
        }
    }
}

#[cfg(test)]
mod tests;
