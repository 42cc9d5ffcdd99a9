//! The server's own file, followed. It is read every second, whatever the file system says of it:
//! that also finds files that an editor renames into place, and those of Kubernetes, where a link
//! to their directory is swapped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, warn};

use super::{ReloadError, Reloader};
use crate::config::{self, Problem};
use crate::controller::Origin;
use tidegate_delivery::model::configuration::Source;
use tidegate_delivery::units::Timestamp;

/// How often it is read.
pub const PERIOD: Duration = Duration::from_secs(1);

/// How the file fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The file.
    pub path: PathBuf,
    /// Why the server does not run on what it says now, if it does not.
    pub trouble: Option<Trouble>,
}

/// Why a file was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// All of it, in words.
    pub message: String,
    /// Its places, if what it says is wrong.
    pub problems: Vec<Problem>,
}

/// The text's hash, or why there is none.
type Seen = Result<String, String>;

/// Follows the file.
#[derive(Debug)]
pub struct Follower {
    reloader: Arc<Reloader>,
    status: watch::Sender<FileStatus>,
    /// What was seen, and is dealt with.
    settled: Seen,
    /// What was seen last, if it is not dealt with: one who writes a file is seen in between.
    fresh: Option<Seen>,
    /// Whether what was dealt with may do better the next time.
    again: bool,
}

/// A pipe would be waited for as long as nobody writes to it.
fn read(path: &Path) -> Result<String, String> {
    if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        return Err(format!("{} is no regular file: put one there", path.display()));
    }
    config::read(path).map_err(|error| error.to_string())
}

impl Follower {
    /// Follows `path`, whose text had this hash when the server started on it.
    #[must_use]
    pub fn new(reloader: Arc<Reloader>, path: PathBuf, hash: String) -> Self {
        let view = reloader.controller.view();
        let state = Arc::clone(&view.borrow().state);
        // The start leaves a catalogue aside that a running release forbids.
        let again = state.configuration.as_ref().is_none_or(|it| it.version.hash != hash);
        let status = watch::Sender::new(FileStatus { path, trouble: None });
        Self { reloader, status, settled: Ok(hash), fresh: None, again }
    }

    /// How the file fares, now and whenever that changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<FileStatus> {
        self.status.subscribe()
    }

    /// Follows it for ever. Whoever notifies `hurry` has the file taken at once, changed or not: it
    /// counts again then, whatever was sent in between.
    pub async fn follow(mut self, period: Duration, hurry: &Notify) {
        loop {
            tokio::select! {
                () = sleep(period) => self.look(false).await,
                () = hurry.notified() => self.look(true).await,
            }
        }
    }

    /// Takes what the file says if it changed and then stayed the same until the next look.
    pub(super) async fn look(&mut self, at_once: bool) {
        let path = self.status.borrow().path.clone();
        let read = spawn_blocking(move || read(&path));
        // The server is going down.
        let Ok(read) = read.await else { return };
        let seen = read.as_ref().map(|text| config::hash(text)).map_err(Clone::clone);
        let changed = seen != self.settled;
        let steady = !changed || self.fresh.as_ref() == Some(&seen);
        self.fresh = (changed && !steady).then(|| seen.clone());
        if at_once || (steady && (changed || self.again)) {
            self.fresh = None;
            self.settled = seen;
            self.take(read).await;
        }
    }

    async fn take(&mut self, read: Result<String, String>) {
        let result = match read {
            Ok(text) => {
                let origin = Origin::component("configuration");
                self.reloader.apply(text, Source::File, origin).await.map(drop)
            }
            Err(message) => return self.tell(message, Vec::new()),
        };
        self.again = result.as_ref().is_err_and(ReloadError::passes);
        match result {
            Ok(()) => {
                self.status.send_if_modified(|status| status.trouble.take().is_some());
            }
            Err(error) => {
                let message = error.to_string();
                let problems = match error {
                    ReloadError::Invalid(problems) => problems,
                    _ => Vec::new(),
                };
                self.tell(message, problems);
            }
        }
    }

    /// Once, until it is something else.
    fn tell(&self, message: String, problems: Vec<Problem>) {
        let since = self.reloader.clock.wall();
        let again = self.again;
        self.status.send_if_modified(|status| {
            if status.trouble.as_ref().is_some_and(|known| known.message == message) {
                return false;
            }
            let path = status.path.display();
            if again {
                warn!(%path, "{message}; it is tried again");
            } else {
                error!(%path, "{message}; the server stays as it was");
            }
            status.trouble = Some(Trouble { since, message, problems });
            true
        });
    }
}
