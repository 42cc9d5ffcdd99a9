//! The key whose route tokens filters receive, and the end of its rotation. [`super::tokens`] describes the steps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::tokens::{KeyError, KeyStore, Keys};
use crate::controller::{CommandError, Handle};
use crate::xds::fleet::reporters::Reporters;
use tidegate_xds::tokens::TokenKey;

/// Time between two reads of the file with the keys.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time after which the previous key may end: after a start of the server every sidecar has reported by then.
const MIN_OVERLAP: Duration = Duration::from_secs(60);

/// The key, once a fleet of an Istio mesh needs one.
#[derive(Debug)]
pub struct SentKey {
    data_dir: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug, Clone)]
struct Open {
    store: KeyStore,
    sent: TokenKey,
}

impl SentKey {
    /// The key of a data directory, which is not read yet.
    #[must_use]
    pub const fn new(data_dir: PathBuf) -> Self {
        Self { data_dir, open: Mutex::new(None) }
    }

    /// The key as of the last read. The first call reads the file, and creates it if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or created.
    pub fn get(&self) -> Result<TokenKey, KeyError> {
        let mut open = self.open.lock();
        if let Some(open) = &*open {
            return Ok(open.sent.clone());
        }
        let store = KeyStore::open(&self.data_dir)?;
        let sent = store.read()?.sent().clone();
        *open = Some(Open { store, sent: sent.clone() });
        Ok(sent)
    }

    /// Reads the file again. `None` if no fleet has needed a key. The result is true if filters must receive another key.
    fn read_again(&self) -> Result<Option<(KeyStore, Keys, bool)>, KeyError> {
        let Some(Open { store, sent }) = self.open.lock().clone() else {
            return Ok(None);
        };
        let keys = store.read()?;
        let has_changed = *keys.sent() != sent;
        if has_changed {
            let sent = keys.sent().clone();
            *self.open.lock() = Some(Open { store: store.clone(), sent });
        }
        Ok(Some((store, keys, has_changed)))
    }
}

/// Publishes the tokens of a key that the command line activates, and retires the key before once no sidecar uses it.
/// Returns when the controller has stopped.
pub async fn run(key: Arc<SentKey>, controller: Handle, reporters: Arc<Reporters>) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut overlap_began = None;
    let mut failure = None;
    // The key was read, and is not published yet.
    let mut is_due = false;
    loop {
        ticks.tick().await;
        let reread = Arc::clone(&key);
        let read = match spawn_blocking(move || reread.read_again()).await {
            Ok(read) => read,
            Err(error) => {
                error!(%error, "the task that reads the keys of route tokens has failed");
                return;
            }
        };
        let (store, keys, has_changed) = match read {
            Ok(None) => continue,
            Ok(Some(read)) => {
                failure = None;
                read
            }
            Err(error) => {
                let error = error.to_string();
                if failure.as_ref() != Some(&error) {
                    warn!(error, "filters keep the route tokens that they have");
                    failure = Some(error);
                }
                continue;
            }
        };
        is_due |= has_changed;
        if is_due {
            match controller.republish().await {
                Ok(()) => {
                    is_due = false;
                    info!(key = %keys.sent().id(), "filters receive the route tokens of another key");
                }
                Err(CommandError::Stopped) => return,
                Err(_busy) => continue,
            }
        }
        let Keys::Activated { previous, .. } = &keys else {
            overlap_began = None;
            continue;
        };
        let began = *overlap_began.get_or_insert_with(Instant::now);
        if began.elapsed() < MIN_OVERLAP || !reporters.all_have_newest() {
            continue;
        }
        match spawn_blocking(move || store.retire()).await {
            Ok(Ok(_)) => info!(key = %previous.id(), "no sidecar uses the tokens of the key before; apply new manifests"),
            Ok(Err(error)) => warn!(%error, "the key before is not retired"),
            Err(error) => error!(%error, "the task that retires a key has failed"),
        }
    }
}
