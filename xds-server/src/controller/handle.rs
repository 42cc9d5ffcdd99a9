//! The interface of the controller: the handle for commands and reads, and the view of its state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::query_samples::QuerySamples;
use super::reads::Reads;
use super::stable_histories::StableHistories;
use crate::journal::{JournalError, Record};
use tidegate_delivery::figures::Figures;
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::model::command::{Command, Outcome, Refusal};
use tidegate_delivery::model::configuration::Version;
use tidegate_delivery::model::fold_error::FoldError;
use tidegate_delivery::model::freeze::FreezeWindow;
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::refusal::Invalid;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName};
use tidegate_xds::mesh::Mesh;
use tidegate_xds::resources::InvalidResources;
use tidegate_xds::tokens::TokenKey;

/// The controller's state for readers: an immutable value, replaced as a whole.
#[derive(Debug, Clone, Default)]
pub struct DeliveryView {
    /// All decisions.
    pub state: Arc<State>,
    /// Delivery figures.
    pub figures: Arc<Figures>,
    /// Result of the last evaluation of each running release.
    pub progress: BTreeMap<ReleaseId, Progress>,
    /// Number of the newest record.
    pub seq: u64,
    /// Serial of the newest publication.
    pub serial: u64,
    /// The error of the last append, if it failed. There are no decisions then, and traffic is unchanged.
    pub halted: Option<String>,
}

impl DeliveryView {
    /// Whether two views have the same content. The state is compared by identity, because it is replaced when it changes.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
            && self.progress == other.progress
            && self.seq == other.seq
            && self.serial == other.serial
            && self.halted == other.halted
    }
}

/// Most records per [`Handle::events`].
pub const MAX_PAGE: usize = 1000;
/// Longest actor, in bytes.
const MAX_ACTOR: usize = 200;
/// Longest reason, in bytes.
const MAX_REASON: usize = 2000;

/// Origin of a command, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The person or component, 1 to [`MAX_ACTOR`] bytes.
    pub actor: String,
    /// The reason given, at most [`MAX_REASON`] bytes.
    pub reason: Option<String>,
}

impl Origin {
    /// A component of the server.
    pub(crate) fn component(name: &str) -> Self {
        Self { actor: name.to_owned(), reason: None }
    }

    /// Checks the lengths: the journal is never shortened.
    fn check(&self) -> Result<(), Refusal> {
        let reason = self.reason.as_ref().map_or(0, String::len);
        if !(1..=MAX_ACTOR).contains(&self.actor.len()) || reason > MAX_REASON {
            let (max_actor, max_reason) = (MAX_ACTOR, MAX_REASON);
            return Err(Invalid::Origin { max_actor, max_reason }.into());
        }
        Ok(())
    }
}

/// A command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The reducer rejected it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Sidecars would reject what it publishes.
    #[error("sidecars would reject the change, so nothing was changed:\n{0}")]
    Unpublishable(#[from] InvalidResources),
    /// The journal cannot be written or read. Traffic is unchanged.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The decision contradicts the state, which is a bug. It was not appended.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The queue of requests is full.
    #[error("the controller is busy; try again")]
    Busy,
    /// The controller has stopped.
    #[error("the controller has stopped")]
    Stopped,
}

/// A configuration to apply at run time: the part that is journaled, and the mesh of the same publication.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Hash and source.
    pub version: Version,
    /// The catalogue.
    pub services: Vec<ServiceSpec>,
    /// Recurring and single freezes.
    pub freeze_windows: Vec<FreezeWindow>,
    /// What it may take away.
    pub allow: BTreeSet<Loss>,
    /// Fleets and their listeners.
    pub mesh: Mesh,
}

impl Configuration {
    /// The command for the reducer, and the mesh.
    #[must_use]
    pub fn split(self) -> (Command, Mesh) {
        let Self { version, services, freeze_windows, allow, mesh } = self;
        let fleets = mesh.fleets.clone();
        (Command::ApplyConfiguration { version, fleets, services, freeze_windows, allow }, mesh)
    }
}

/// A request to the controller's thread.
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
    TokenKey {
        key: TokenKey,
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// A handle of the controller. The controller stops when the last handle is dropped, or by [`Handle::stop`].
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    view: watch::Receiver<Arc<DeliveryView>>,
    records: broadcast::Sender<Record>,
    reads: Reads,
    histories: StableHistories,
    queries: QuerySamples,
}

impl Handle {
    pub(super) const fn new(
        requests: mpsc::Sender<Request>,
        view: watch::Receiver<Arc<DeliveryView>>,
        records: broadcast::Sender<Record>,
        reads: Reads,
        histories: StableHistories,
        queries: QuerySamples,
    ) -> Self {
        Self { requests, view, records, reads, histories, queries }
    }

    /// Where results of query guardrails go.
    #[must_use]
    pub fn query_samples(&self) -> QuerySamples {
        self.queries.clone()
    }

    /// The history of a service's stable version.
    #[must_use]
    pub fn history(&self, service: &ServiceName) -> Arc<StableHistory> {
        self.histories.of(service)
    }

    /// Submits a command. When this returns, the view contains its effect.
    ///
    /// # Errors
    /// If the command had no effect.
    pub async fn submit(&self, command: Command, origin: Origin) -> Result<Outcome, CommandError> {
        origin.check()?;
        let command = Box::new(command);
        self.request(|reply| Request::Command { command, origin, reply }).await
    }

    /// Applies a configuration: nothing of it, or all except the services that a running release withholds. When this
    /// returns, the view contains it.
    ///
    /// # Errors
    /// If it was not applied.
    pub async fn configure(
        &self,
        configuration: Configuration,
        origin: Origin,
    ) -> Result<Outcome, CommandError> {
        origin.check()?;
        let configuration = Box::new(configuration);
        self.request(|reply| Request::Configure { configuration, origin, reply }).await
    }

    /// Publishes the tokens of a key to the filters in an Istio mesh. Nothing is journaled.
    ///
    /// # Errors
    /// If the controller is busy, or has stopped.
    pub async fn set_token_key(&self, key: TokenKey) -> Result<(), CommandError> {
        self.request(|reply| Request::TokenKey { key, reply }).await
    }

    /// The newest view, and a notification of each change.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<DeliveryView>> {
        self.view.clone()
    }

    /// The records after a sequence number, ascending: at most `limit` and [`MAX_PAGE`], fewer if they are large. An empty
    /// page is the end.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn events(&self, after: u64, limit: usize) -> Result<Vec<Record>, CommandError> {
        if self.requests.is_closed() {
            return Err(CommandError::Stopped);
        }
        self.reads.page(after, limit.min(MAX_PAGE)).await
    }

    /// Every record from now on. A receiver that lags gets an error and reads the rest with [`Self::events`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Record> {
        self.records.subscribe()
    }

    /// Stops the controller. When this returns, the journal is closed.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        // Either failure means that it has already stopped.
        if self.requests.send(Request::Stop { done }).await.is_ok() {
            stopped.await.ok();
        }
    }

    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, CommandError>>) -> Request,
    ) -> Result<T, CommandError> {
        let (reply, response) = oneshot::channel();
        self.requests.try_send(request(reply)).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Closed(_) => CommandError::Stopped,
        })?;
        response.await.unwrap_or(Err(CommandError::Stopped))
    }
}
