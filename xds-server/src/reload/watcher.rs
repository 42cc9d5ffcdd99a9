//! Polls the configuration file of the server and applies its changes.
//!
//! The watcher reads the file every [`POLL_INTERVAL`] and compares hashes, not file events: this also
//! detects files that an editor renames into place, and Kubernetes mounts, whose directory is a
//! symbolic link that is swapped. A change is applied when two successive polls read the same text,
//! because a poll may see a file that is only partly written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, warn};

use super::{ReloadError, Reloader};
use crate::config::{self, Located, Problem, locate};
use crate::controller::{CommandError, Origin};
use crate::files::{MAX_BYTES, read_text};
use tidegate_delivery::model::change::Change;
use tidegate_delivery::model::command::Refusal;
use tidegate_delivery::model::configuration::{Applied, Source};
use tidegate_delivery::text::{allow_options, quoted, withheld as withheld_text};
use tidegate_delivery::units::Timestamp;

/// Time between two polls.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Whether the server runs on its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The file.
    pub path: PathBuf,
    /// The error, if the current text is not applied as a whole.
    pub failure: Option<ReloadFailure>,
}

/// Why the current text of the file is not applied, or not as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadFailure {
    /// Time of the first attempt with this error.
    pub since: Timestamp,
    /// The whole error.
    pub message: String,
    /// The errors in the text, with their positions.
    pub problems: Vec<Problem>,
    /// The changes that take away something that serves traffic, if they are the error.
    pub losses: Vec<Located>,
}

impl ReloadFailure {
    /// The command that applies the file with its losses.
    #[must_use]
    pub fn confirmation(&self, path: &Path) -> Option<String> {
        let losses: Vec<_> = self.losses.iter().map(|it| it.change.clone()).collect();
        (!losses.is_empty()).then(|| confirmation(path, &losses))
    }
}

/// The command that applies a file with these losses. Its path does not depend on the working directory.
fn confirmation(path: &Path, losses: &[Change]) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    format!("tidegate apply -f {}{}", quoted(&path.display().to_string()), allow_options(losses))
}

/// A failure without its time.
struct Failed {
    message: String,
    problems: Vec<Problem>,
    losses: Vec<Located>,
}

impl Failed {
    const fn other(message: String) -> Self {
        Self { message, problems: Vec::new(), losses: Vec::new() }
    }
}

/// The hash of the text, or the error of reading it.
type ReadResult = Result<String, String>;

/// Polls the file.
#[derive(Debug)]
pub struct FileWatcher {
    reloader: Arc<Reloader>,
    status: watch::Sender<FileStatus>,
    /// The last result that was applied or rejected.
    handled: ReadResult,
    /// The last result, if it differs from `handled` and was read once.
    pending: Option<ReadResult>,
    /// Whether applying `handled` again may succeed.
    retry: bool,
    /// Whether `handled` is applied except for services that a running release withholds.
    partial: bool,
    /// The hash of the configuration in force after the last attempt.
    in_force: Option<String>,
}

impl FileWatcher {
    /// Watches `path`, whose text had this hash when the server started.
    #[must_use]
    pub fn new(reloader: Arc<Reloader>, path: PathBuf, hash: String) -> Self {
        let view = reloader.controller.view();
        let state = Arc::clone(&view.borrow().state);
        let in_force = state.configuration.as_ref().map(|it| it.version.hash.clone());
        let applied = state.configuration.as_ref().filter(|it| it.version.hash == hash);
        let partial = applied.is_some_and(|it| !it.withheld.is_empty());
        // The server starts without the services and fleets of the file if it takes away something that serves traffic.
        let retry = partial || applied.is_none();
        let status = watch::Sender::new(FileStatus { path, failure: None });
        Self { reloader, status, handled: Ok(hash), pending: None, retry, partial, in_force }
    }

    /// The status, current and future.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<FileStatus> {
        self.status.subscribe()
    }

    /// Polls forever. A notification of `reload` applies the file at once, changed or not; it then
    /// replaces a configuration that was sent by API.
    pub async fn run(mut self, interval: Duration, reload: &Notify) {
        loop {
            tokio::select! {
                () = sleep(interval) => self.poll(false).await,
                () = reload.notified() => self.poll(true).await,
            }
        }
    }

    /// Reads the file once, and applies it if it changed and is stable, or if `force` is set.
    pub(super) async fn poll(&mut self, force: bool) {
        let path = self.status.borrow().path.clone();
        let read = spawn_blocking(move || read_text(&path, MAX_BYTES));
        // The runtime is shutting down.
        let Ok(read) = read.await else { return };
        let read = read.map_err(|error| error.to_string());
        let result = read.as_ref().map(|text| config::hash(text)).map_err(Clone::clone);
        let changed = result != self.handled;
        self.forget_superseded();
        let stable = !changed || self.pending.as_ref() == Some(&result);
        self.pending = (changed && !stable).then(|| result.clone());
        if force || (stable && (changed || self.retry)) {
            self.pending = None;
            self.handled = result;
            self.apply(read).await;
        }
    }

    async fn apply(&mut self, read: Result<String, String>) {
        let text = match read {
            Ok(text) => text,
            Err(message) => return self.report_failure(Failed::other(message)),
        };
        let origin = Origin::component("configuration");
        let allow = BTreeSet::new();
        let result = self.reloader.apply(text.clone(), Source::File, allow, origin).await;
        let applied = self.applied();
        self.in_force = applied.as_ref().map(|it| it.version.hash.clone());
        let withheld = match result {
            Ok(_) => applied.map(|it| it.withheld).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        self.partial = !withheld.is_empty();
        self.retry = self.partial || result.as_ref().is_err_and(ReloadError::is_transient);
        match result {
            Ok(_) if self.partial => self.report_failure(Failed::other(withheld_text(&withheld))),
            Ok(_) => {
                self.status.send_if_modified(|status| status.failure.take().is_some());
            }
            Err(ReloadError::Command(CommandError::Refused(Refusal::TakesAway { losses }))) => {
                let confirm = confirmation(&self.status.borrow().path, &losses.0);
                let message = format!(
                    "the file takes away something that serves traffic, so nothing of it is applied: {losses}; change it \
                     back, or confirm it: {confirm}"
                );
                let losses = locate(&text, losses.0);
                self.report_failure(Failed { losses, ..Failed::other(message) });
            }
            Err(error) => {
                let failed = Failed::other(error.to_string());
                let problems = match error {
                    ReloadError::Invalid(problems) => problems,
                    _ => Vec::new(),
                };
                self.report_failure(Failed { problems, ..failed });
            }
        }
    }

    /// Stops to retry the file after another configuration was applied.
    fn forget_superseded(&mut self) {
        let applied = self.applied().map(|it| it.version.hash);
        if self.retry && applied != self.in_force && applied.as_ref() != self.handled.as_ref().ok()
        {
            self.retry = false;
            if std::mem::take(&mut self.partial) {
                self.status.send_if_modified(|status| status.failure.take().is_some());
            }
        }
    }

    /// The configuration in force.
    fn applied(&self) -> Option<Applied> {
        let view = self.reloader.controller.view();
        let state = Arc::clone(&view.borrow().state);
        state.configuration.clone()
    }

    /// Logs and publishes a failure, unless it is the current one.
    fn report_failure(&self, Failed { message, problems, losses }: Failed) {
        let since = self.reloader.clock.now();
        let retry = self.retry;
        self.status.send_if_modified(|status| {
            if status.failure.as_ref().is_some_and(|known| known.message == message) {
                return false;
            }
            let path = status.path.display();
            if self.partial {
                warn!(%path, "the configuration is applied in part; {message}; it will be retried");
            } else if retry {
                warn!(%path, "{message}; it will be retried");
            } else {
                error!(%path, "{message}; the previous configuration stays in force");
            }
            status.failure = Some(ReloadFailure { since, message, problems, losses });
            true
        });
    }
}
