//! The way to the controller, for everybody else.

use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::reads::Reads;
use super::view::View;
use crate::journal::{JournalError, Record};
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::command::{Command, Outcome, Refusal};
use tidegate_delivery::model::configuration::Version;
use tidegate_delivery::model::fold_error::FoldError;
use tidegate_delivery::model::freeze::FreezeWindow;
use tidegate_delivery::model::refusal::Invalid;
use tidegate_xds::mesh::Mesh;

/// Most records that [`Handle::events`] returns at a time.
pub const MAX_PAGE: usize = 1000;
/// Longest actor, in bytes.
const MAX_ACTOR: usize = 200;
/// Longest reason, in bytes.
const MAX_REASON: usize = 2000;

/// Who asks, and why, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub actor: String,
    /// Why, if they say.
    pub reason: Option<String>,
}

impl Origin {
    /// One of the server's own parts.
    pub(crate) fn part(name: &str) -> Self {
        Self { actor: name.to_owned(), reason: None }
    }

    /// The journal keeps it for ever, so it has to be short.
    fn check(&self) -> Result<(), Refusal> {
        let reason = self.reason.as_ref().map_or(0, String::len);
        if !(1..=MAX_ACTOR).contains(&self.actor.len()) || reason > MAX_REASON {
            let (max_actor, max_reason) = (MAX_ACTOR, MAX_REASON);
            return Err(Invalid::Origin { max_actor, max_reason }.into());
        }
        Ok(())
    }
}

/// Why a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be, see there.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal cannot be written or read. Traffic stays as it is.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A decision that does not fit the state: a bug. It was not written.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// Too many wait already.
    #[error("the controller is busy; try again")]
    Busy,
    /// The server is going down.
    #[error("the controller has stopped")]
    Stopped,
}

/// A configuration to be taken while everything runs: what is journaled of it, and the mesh that
/// the same publication brings.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which.
    pub version: Version,
    /// Its services.
    pub services: Vec<ServiceSpec>,
    /// Its times in which nothing goes forward.
    pub freeze_windows: Vec<FreezeWindow>,
    /// Its fleets and their listeners.
    pub mesh: Mesh,
}

impl Configuration {
    /// What is asked of the reducer, and the mesh.
    #[must_use]
    pub fn split(self) -> (Command, Mesh) {
        let Self { version, services, freeze_windows, mesh } = self;
        (Command::ApplyConfiguration { version, services, freeze_windows }, mesh)
    }
}

/// What the controller is asked.
pub(super) enum Request {
    Command {
        command: Box<Command>,
        origin: Origin,
        reply: oneshot::Sender<Result<Outcome, CommandError>>,
    },
    Configure {
        configuration: Box<Configuration>,
        origin: Origin,
        reply: oneshot::Sender<Result<Outcome, CommandError>>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// The way to the controller. It runs as long as there is one, or until it is stopped.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    view: watch::Receiver<Arc<View>>,
    records: broadcast::Sender<Record>,
    reads: Reads,
}

impl Handle {
    pub(super) const fn new(
        requests: mpsc::Sender<Request>,
        view: watch::Receiver<Arc<View>>,
        records: broadcast::Sender<Record>,
        reads: Reads,
    ) -> Self {
        Self { requests, view, records, reads }
    }

    /// Asks for something. Once it is answered, the view shows it.
    ///
    /// # Errors
    /// When it had no effect.
    pub async fn submit(&self, command: Command, origin: Origin) -> Result<Outcome, CommandError> {
        origin.check()?;
        let command = Box::new(command);
        self.ask(|reply| Request::Command { command, origin, reply }).await
    }

    /// Takes a configuration: all of it, or nothing. Once it is answered, the view shows it.
    ///
    /// # Errors
    /// When it had no effect.
    pub async fn configure(
        &self,
        configuration: Configuration,
        origin: Origin,
    ) -> Result<Outcome, CommandError> {
        origin.check()?;
        let configuration = Box::new(configuration);
        self.ask(|reply| Request::Configure { configuration, origin, reply }).await
    }

    /// The newest state, and word of every change.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// The records after a sequence number, in order: at most `limit` and at most [`MAX_PAGE`],
    /// fewer if they are large; none if there are no more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn events(&self, after: u64, limit: usize) -> Result<Vec<Record>, CommandError> {
        if self.requests.is_closed() {
            return Err(CommandError::Stopped);
        }
        self.reads.page(after, limit.min(MAX_PAGE)).await
    }

    /// Every record from now on. Who falls behind is told so, and finds the rest with [`Self::events`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Record> {
        self.records.subscribe()
    }

    /// Stops the controller. When this returns, the journal is closed.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        // Either failure means that it has stopped before.
        if self.requests.send(Request::Stop { done }).await.is_ok() {
            stopped.await.ok();
        }
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, CommandError>>) -> Request,
    ) -> Result<T, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(request(reply)).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Closed(_) => CommandError::Stopped,
        })?;
        answer.await.unwrap_or(Err(CommandError::Stopped))
    }
}
