//! The interface between the API and the rest of the control plane: controller, AckTracker, telemetry. Tests of the API
//! implement it without them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::controller::{CommandError, DeliveryView, Origin};
use crate::journal::Record;
use crate::reload::{DryRun, FileStatus, ReloadError};
use crate::telemetry::counts::Counts;
use crate::telemetry::recent::RecentFigures;
use crate::xds::fleet::{Inspection, NodeStatus};
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::model::command::{Command, Outcome};
use tidegate_delivery::names::{FleetName, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;

/// The control plane behind the API.
pub trait Backend: Send + Sync + 'static {
    /// Submits a command to the controller. Resolves once it is decided and journaled.
    fn submit(
        &self,
        command: Command,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, CommandError>>;

    /// Applies a configuration, which may take away what is in `allow`.
    fn apply(
        &self,
        text: String,
        allow: BTreeSet<Loss>,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, ReloadError>>;

    /// Validates a configuration and returns what it would change, without applying it.
    fn try_out(
        &self,
        text: String,
        allow: BTreeSet<Loss>,
        origin: Origin,
    ) -> BoxFuture<'_, Result<DryRun, ReloadError>>;

    /// The state of the server's own configuration file.
    fn file(&self) -> FileStatus;

    /// The state and its measurements; notified on every change.
    fn view(&self) -> watch::Receiver<Arc<DeliveryView>>;

    /// Up to `limit` records of the journal after the record `after`.
    fn events(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, CommandError>>;

    /// The counts of each version of a service since the server started.
    fn totals(&self, service: &ServiceName) -> BTreeMap<VersionName, Counts>;

    /// The requests of the last half minute, per version of a service that had any.
    fn recent(&self, service: &ServiceName) -> BTreeMap<VersionName, RecentFigures>;

    /// What is known of a service's stable version.
    fn history(&self, service: &ServiceName) -> Arc<StableHistory>;

    /// The connected sidecars, and those that disconnected recently.
    fn nodes(&self) -> Vec<NodeStatus>;

    /// The names of endpoints that do not resolve.
    fn unresolved_names(&self) -> Arc<BTreeSet<String>>;

    /// Whether a fleet carries a service.
    fn carries(&self, fleet: &FleetName, service: &ServiceName) -> bool;

    /// The resources of a connected sidecar.
    fn inspect<'a>(&'a self, fleet: &'a FleetName, node: &'a str) -> BoxFuture<'a, Inspection>;

    /// The error that the background verification of the journal found.
    fn damage(&self) -> Option<String>;

    /// Wall time: for freeze windows, `$flagd.timestamp`, and the last day of a report.
    fn now(&self) -> Timestamp;

    /// Registers the metrics of the other components. Called once.
    fn register(&self, registry: &mut Registry);
}
