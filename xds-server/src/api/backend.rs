//! What the API needs of the rest: the controller, the AckTracker, the telemetry. One trait,
//! so that the API is tested without them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::controller::{CommandError, DeliveryView, Origin};
use crate::journal::Record;
use crate::reload::{FileStatus, ReloadError};
use crate::telemetry::counts::Counts;
use crate::xds::fleet::{Inspection, NodeStatus};
use tidegate_delivery::model::command::{Command, Outcome};
use tidegate_delivery::names::{FleetName, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;

/// The rest of the control plane, as the API sees it.
pub trait Backend: Send + Sync + 'static {
    /// Asks the controller for something, and waits until it is decided and journaled.
    fn submit(
        &self,
        command: Command,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, CommandError>>;

    /// Takes a configuration.
    fn apply(&self, text: String, origin: Origin) -> BoxFuture<'_, Result<Outcome, ReloadError>>;

    /// What would become of a configuration.
    fn try_out(&self, text: String, origin: Origin) -> BoxFuture<'_, Result<Outcome, ReloadError>>;

    /// How the server's own configuration file fares.
    fn file(&self) -> FileStatus;

    /// What is decided and seen now; changes whenever that does.
    fn view(&self) -> watch::Receiver<Arc<DeliveryView>>;

    /// Up to `limit` records of the journal after one.
    fn events(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, CommandError>>;

    /// What each version of a service did since the server started.
    fn totals(&self, service: &ServiceName) -> BTreeMap<VersionName, Counts>;

    /// The sidecars.
    fn nodes(&self) -> Vec<NodeStatus>;

    /// What a connected sidecar was sent.
    fn inspect<'a>(&'a self, fleet: &'a FleetName, node: &'a str) -> BoxFuture<'a, Inspection>;

    /// What was found to be wrong with the part of the journal that the start took on trust.
    fn damage(&self) -> Option<String>;

    /// Wall time: for freeze windows, `$flagd.timestamp` and the last day of a report.
    fn now(&self) -> Timestamp;

    /// Adds the counters of the other parts to `/metrics`.
    fn register(&self, registry: &mut Registry);
}
