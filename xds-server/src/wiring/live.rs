//! The running components behind the API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tidegate::api::backend::Backend;
use tidegate::clock::Clock;
use tidegate::controller::{CommandError, DeliveryView, Handle, Origin, RollbackTimes};
use tidegate::effects::Supervisor;
use tidegate::effects::names::UnresolvedNames;
use tidegate::effects::notifier::stats::DeliveryStats;
use tidegate::journal::{AppendTimes, Record, Scrub};
use tidegate::metrics::Computed;
use tidegate::metrics::families::Families;
use tidegate::reload::{DryRun, FileStatus, ReloadError, Reloader};
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::counts::Counts;
use tidegate::telemetry::recent::RecentFigures;
use tidegate::transport::Acceptor;
use tidegate::transport::tls::TlsMetrics;
use tidegate::xds::fleet::reporters::Reporters;
use tidegate::xds::fleet::{AckTracker, Inspection, NodeStatus};
use tidegate::xds::metrics::XdsMetrics;
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::model::command::{Command, Outcome};
use tidegate_delivery::model::configuration::Source;
use tidegate_delivery::names::{FleetName, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;
use tokio::sync::watch;

use super::metrics::Components;

/// The components that the API reads.
pub(super) struct Live {
    pub(super) controller: Handle,
    pub(super) reloader: Arc<Reloader>,
    pub(super) file: watch::Receiver<FileStatus>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) ack_tracker: Arc<AckTracker>,
    pub(super) reporters: Arc<Reporters>,
    pub(super) xds_metrics: XdsMetrics,
    pub(super) acceptor: Arc<Acceptor>,
    /// `None`: plaintext.
    pub(super) tls_metrics: Option<TlsMetrics>,
    pub(super) delivery_stats: Arc<DeliveryStats>,
    pub(super) supervisor: Supervisor,
    pub(super) unresolved_names: Arc<UnresolvedNames>,
    pub(super) clock: Clock,
    pub(super) scrub: Scrub,
    pub(super) append_times: AppendTimes,
    pub(super) rollback_times: RollbackTimes,
}

impl Backend for Live {
    fn submit(
        &self,
        command: Command,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, CommandError>> {
        self.controller.submit(command, origin).boxed()
    }

    fn apply(
        &self,
        text: String,
        allow: BTreeSet<Loss>,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, ReloadError>> {
        self.reloader.apply(text, Source::Api, allow, origin).boxed()
    }

    fn try_out(
        &self,
        text: String,
        allow: BTreeSet<Loss>,
        origin: Origin,
    ) -> BoxFuture<'_, Result<DryRun, ReloadError>> {
        async move { self.reloader.dry_run(text, allow, &origin).await }.boxed()
    }

    fn file(&self) -> FileStatus {
        self.file.borrow().clone()
    }

    fn view(&self) -> watch::Receiver<Arc<DeliveryView>> {
        self.controller.view()
    }

    fn events(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, CommandError>> {
        self.controller.events(after, limit).boxed()
    }

    fn totals(&self, service: &ServiceName) -> BTreeMap<VersionName, Counts> {
        self.telemetry.totals(service)
    }

    fn recent(&self, service: &ServiceName) -> BTreeMap<VersionName, RecentFigures> {
        self.telemetry.recent(service, self.clock.now())
    }

    fn history(&self, service: &ServiceName) -> Arc<StableHistory> {
        self.controller.history(service)
    }

    fn nodes(&self) -> Vec<NodeStatus> {
        let mut nodes = self.ack_tracker.nodes();
        nodes.extend(self.reporters.nodes());
        nodes.sort_by(|a, b| (&a.fleet, &a.node).cmp(&(&b.fleet, &b.node)));
        nodes
    }

    fn unresolved_names(&self) -> Arc<BTreeSet<String>> {
        self.unresolved_names.get()
    }

    fn carries(&self, fleet: &FleetName, service: &ServiceName) -> bool {
        self.telemetry.carries(fleet.as_str(), service)
    }

    fn inspect<'a>(&'a self, fleet: &'a FleetName, node: &'a str) -> BoxFuture<'a, Inspection> {
        self.ack_tracker.inspect(fleet, node).boxed()
    }

    fn damage(&self) -> Option<String> {
        self.scrub.damage().map(ToString::to_string)
    }

    fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    fn register(&self, registry: &mut Registry) {
        self.xds_metrics.register(registry);
        self.acceptor.register(registry);
        if let Some(tls) = &self.tls_metrics {
            tls.register(registry);
        }
        self.supervisor.register(registry);
        self.append_times.register(registry);
        self.rollback_times.register(registry);
        let components = Components::of(self);
        let encode = move |metrics: &mut Families<'_>| components.encode(metrics);
        registry.register_collector(Box::new(Computed(encode)));
    }
}
