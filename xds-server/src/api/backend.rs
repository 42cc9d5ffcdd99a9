//! What the API needs of the rest: the controller, the sidecars' ledger, the telemetry. One trait,
//! so that the API is tested without them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::delivery::command::{Command, Outcome, Refusal};
use crate::delivery::names::{ReleaseId, ServiceName, VersionName};
use crate::delivery::progress::Progress;
use crate::delivery::state::State;
use crate::delivery::units::Timestamp;
use crate::journal::Record;
use crate::telemetry::counts::Counts;
use crate::xds::fleet::NodeStatus;

/// The rest of the control plane, as the API sees it.
pub trait Backend: Send + Sync + 'static {
    /// Asks the controller for something, and waits until it is decided and journaled.
    fn submit(
        &self,
        command: Command,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, CommandError>>;

    /// What is decided and seen now; changes whenever that does.
    fn view(&self) -> watch::Receiver<Arc<View>>;

    /// Up to `limit` records of the journal after one.
    fn events(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, CommandError>>;

    /// What each version of a service did since the server started.
    fn totals(&self, service: &ServiceName) -> BTreeMap<VersionName, Counts>;

    /// The sidecars.
    fn nodes(&self) -> Vec<NodeStatus>;

    /// The time, for flags that ask for it.
    fn now(&self) -> Timestamp;

    /// Adds the counters of the other parts to `/metrics`.
    fn register(&self, registry: &mut Registry);
}

/// Who asked for something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// A person or a machine.
    pub actor: String,
    /// In their own words.
    pub reason: Option<String>,
}

/// Why something that was asked for did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It cannot be done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be written down, so it was not done.
    #[error("the journal cannot be written: {0}")]
    Journal(String),
    /// Too much is waiting already.
    #[error("too many commands are waiting")]
    Busy,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
}

/// All that is decided and seen at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// What was decided.
    pub state: Arc<State>,
    /// What is seen of the running releases.
    pub progress: BTreeMap<ReleaseId, Progress>,
    /// The journal's last record.
    pub seq: u64,
    /// The last published snapshot.
    pub serial: u64,
    /// Why nothing can be decided now, if so.
    pub halted: Option<String>,
}
