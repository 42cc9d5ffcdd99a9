//! Constructs and connects all components, starts them in order, and stops them. Contains no decisions.
//!
//! ```text
//! reports ─► telemetry ─(wake)─► controller ─► publisher ─(watch)─► xDS streams ─► ACK tracker ─(wake)─► controller
//!                                 ▲      └─(view)─► API, effects
//!                                 └── commands ────┘
//! ```

mod live;
mod metrics;
mod xds_port;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tidegate::api;
use tidegate::clock::Clock;
use tidegate::config::{self, Config, Receiver};
use tidegate::controller::{self, Parts, RollbackTimes, StartError};
use tidegate::effects::notifier::{self, Notifier};
use tidegate::effects::queries::{self, Queries};
use tidegate::effects::traces::{self, TracesError};
use tidegate::effects::{
    self, Backoff, Supervisor, WebhookClient, dns, health, hooks, names, smoke,
};
use tidegate::istio::rotation::Rotation;
use tidegate::istio::tokens::{KeyError, KeyStore};
use tidegate::journal::{JournalError, Scrub, Sqlite};
use tidegate::reload::{self, Appliers, FileWatcher, Reloader};
use tidegate::sidecars::XdsSidecars;
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::grpc::{FilterConfigs, Reports};
use tidegate::transport::Acceptor;
use tidegate::transport::tls::{CertificateReloader, TlsError};
use tidegate::xds::debug;
use tidegate::xds::fleet::AckTracker;
use tidegate::xds::fleet::reporters::Reporters;
use tidegate::xds::metrics::XdsMetrics;
use tidegate::xds::publisher::Publisher;
use tidegate::xds::serve::{XdsServer, grpc_server};
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::state::State;
use tidegate_proto::report::v1::report_service_server::ReportServiceServer;
use tidegate_xds::mesh::{Mesh, PreviewKey};
use tidegate_xds::resources::{EncodedConfig, SnapshotSet};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use tonic::service::Routes;
use tracing::{error, warn};

use live::Live;
use xds_port::{XdsPort, reload_certificates};

/// Longest time for open streams and requests of the xDS port to end when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two searches for sidecars that do not report.
const SILENCE_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two searches for sidecars that have stopped reporting.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// Shortest time between two wake-ups of the controller by ACKs.
const ACK_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The control plane cannot start, or has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The controller cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The thread that verifies the journal cannot start.
    #[error("cannot start the verification of the journal: {0}")]
    Scrub(#[source] std::io::Error),
    /// The gRPC server has failed.
    #[error("the xDS server failed: {0}")]
    Xds(#[from] tonic::transport::Error),
    /// The key of the preview listeners cannot be read or created.
    #[error("cannot read or create the key of the preview listeners in `data_dir`: {0}")]
    PreviewKey(#[source] std::io::Error),
    /// The keys of route tokens cannot be read or created.
    #[error(transparent)]
    TokenKeys(#[from] KeyError),
    /// The descriptors for gRPC reflection are invalid.
    #[error("cannot serve gRPC reflection: {0}")]
    Reflection(#[from] debug::ReflectionError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The task that reloads the certificates has failed.
    #[error("the reload of certificates failed: {0}")]
    Reload(#[from] tokio::task::JoinError),
    /// The HTTP client for smoke tests and health checks cannot be created.
    #[error("cannot create the HTTP client for smoke tests and health checks: {0}")]
    Smoke(#[from] reqwest::Error),
    /// Hooks and notifications cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] effects::TlsError),
    /// The variables of OpenTelemetry are invalid.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The controller has stopped.
    #[error(
        "the controller stopped unexpectedly: restart the server; the journal contains all decisions"
    )]
    Controller,
}

/// The configuration file.
pub(crate) struct File {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Notified when it must be read again at once.
    pub(crate) reread: Arc<Notify>,
}

/// The bound ports.
pub(crate) struct Listeners {
    /// xDS and reports.
    pub(crate) xds: TcpListener,
    /// REST and metrics.
    pub(crate) api: TcpListener,
}

/// Runs the control plane until `stop` turns true or a component fails.
pub(crate) async fn run(
    mut config: Config,
    file: File,
    listeners: Listeners,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let port = XdsPort::new(&config)?;
    let clock = Clock::system();
    let wake = Arc::new(Notify::new());
    let telemetry = Arc::new(Telemetry::new(Arc::clone(&wake)));
    let ack_tracker = AckTracker::new(clock.clone());
    let reporters = Arc::new(Reporters::new(Arc::clone(&wake), ack_tracker.times()));
    let xds_metrics = XdsMetrics::default();
    // The ports are served after the controller has published the state of the journal.
    config.mesh.preview_key = preview_key(&config).map_err(ServeError::PreviewKey)?;
    if config.mesh.has_istio() {
        let keys = KeyStore::open(&config.data_dir)?.read()?;
        config.mesh.token_key = Some(keys.sent().clone());
    }
    let (receivers, current_receivers) = watch::channel(config.notifications.clone());
    let publisher = Publisher::new(&config.mesh, &State::default());
    let snapshots = publisher.subscribe();
    let sidecars = XdsSidecars::new(
        publisher,
        Arc::clone(&ack_tracker),
        Arc::clone(&reporters),
        Arc::clone(&telemetry),
        clock.clone(),
    );
    let journal = Sqlite::open(&config.data_dir)?;
    let unverified_prefix = journal.unverified_prefix();
    let append_times = journal.append_times();
    let newest = journal.head().seq;
    if let Err(error) = notifier::initialize(&config.data_dir, &config.notifications, newest) {
        // Not fatal: delivery starts after the newest record.
        error!(%error, "cannot initialize the delivery state of notifications");
    }
    let webhooks = WebhookClient::new(clock.clone())?;
    let exporter = traces::exporter()?;
    let supervisor = Supervisor::default();
    let unresolved_names = Arc::default();
    let rollback_times = RollbackTimes::default();
    let controller = controller::spawn(Parts {
        journal: Box::new(journal),
        sidecars: Box::new(sidecars),
        evidence_source: Box::new(Arc::clone(&telemetry)),
        clock: clock.clone(),
        version: Version { hash: config.hash.clone(), source: Source::File },
        mesh: config.mesh.clone(),
        services: config.services.clone(),
        freeze_windows: config.freeze_windows.clone(),
        flags: config.flags.clone(),
        wake: Arc::clone(&wake),
        rollback_times: rollback_times.clone(),
    })?;
    // The fleets of the journal, if the configuration is refused.
    let fleets = Vec::clone(&controller.view().borrow().state.fleets);
    let mesh = Mesh { fleets, ..config.mesh.clone() };
    let (previews, current_previews) = watch::channel(smoke::Previews::of_mesh(&mesh));
    let published = Published(snapshots.clone());
    let rotation = Rotation {
        data_dir: config.data_dir.clone(),
        controller: controller.clone(),
        reporters: Arc::clone(&reporters),
        snapshots: snapshots.clone(),
    };
    let reports = Reports::new(
        Arc::clone(&telemetry),
        published,
        Arc::clone(&port.access),
        Arc::clone(&ack_tracker),
        Arc::clone(&reporters),
        clock.clone(),
    );
    let xds = XdsServer::new(
        snapshots.clone(),
        Arc::clone(&ack_tracker),
        xds_metrics.clone(),
        Arc::clone(&port.access),
    );
    let routes = xds.routes().add_service(ReportServiceServer::new(reports));
    let routes = debug::add_to(routes, snapshots, xds.draining(), Arc::clone(&ack_tracker))?;
    let scrub =
        Scrub::start(config.data_dir.clone(), unverified_prefix).map_err(ServeError::Scrub)?;
    let notifier = Notifier {
        controller: controller.clone(),
        webhooks,
        clock: clock.clone(),
        backoff: Backoff::default(),
        data_dir: config.data_dir.clone(),
        stats: Arc::default(),
        supervisor: supervisor.clone(),
    };
    let delivery_stats = Arc::clone(&notifier.stats);
    let effects = effects(notifier, Queries::new()?, current_receivers);
    let appliers = Appliers { access: Arc::clone(&port.access), previews, receivers };
    let base = file.path.parent().map(Path::to_owned).unwrap_or_default();
    let hash = config.hash.clone();
    let reloader = Reloader::new(controller.clone(), clock.clone(), base, config, appliers);
    let watcher = FileWatcher::new(Arc::clone(&reloader), file.path, hash);
    let live = Live {
        scrub,
        append_times,
        rollback_times,
        controller: controller.clone(),
        reloader,
        file: watcher.status(),
        telemetry: Arc::clone(&telemetry),
        ack_tracker: Arc::clone(&ack_tracker),
        reporters: Arc::clone(&reporters),
        xds_metrics,
        acceptor: Arc::clone(&port.acceptor),
        tls_metrics: port.certificates.as_ref().map(CertificateReloader::metrics),
        delivery_stats,
        supervisor: supervisor.clone(),
        unresolved_names: Arc::clone(&unresolved_names),
        clock: clock.clone(),
    };
    let resolution = names::run(controller.clone(), unresolved_names, supervisor.clone());
    let ended = tokio::select! {
        () = resolution => Err(ServeError::Controller),
        ended = serve(&xds, routes, live, &port.acceptor, listeners, stop) => ended,
        () = traces::run(controller.clone(), exporter, supervisor.clone()) => Err(ServeError::Controller),
        ended = smoke::run(
            controller.clone(),
            current_previews,
            smoke::RetryPolicy::default(),
            supervisor.clone(),
        ) => match ended {
            Ok(()) => Err(ServeError::Controller),
            Err(error) => Err(error.into()),
        },
        ended = reload_certificates(port.certificates) => Err(ended.into()),
        ended = health::run(
            controller.clone(),
            health::CheckTiming::default(),
            supervisor,
        ) => match ended {
            Ok(()) => Err(ServeError::Controller),
            Err(error) => Err(error.into()),
        },
        () = watcher.run(reload::POLL_INTERVAL, &file.reread) => Err(ServeError::Controller),
        () = effects => Err(ServeError::Controller),
        () = wake_on_change(&ack_tracker, &wake) => Err(ServeError::Controller),
        () = find_silent_sidecars(&ack_tracker, &telemetry) => Err(ServeError::Controller),
        () = sweep(&reporters, &clock) => Err(ServeError::Controller),
        () = rotation.run() => Err(ServeError::Controller),
    };
    // Last: the journal must contain every command that a client saw succeed.
    controller.stop().await;
    ended
}

/// The key of the preview listeners. The fleets of the journal may have some, although those of the configuration have none.
fn preview_key(config: &Config) -> std::io::Result<PreviewKey> {
    if config.mesh.has_previews() {
        return config::preview_key(&config.data_dir);
    }
    Ok(config::existing_preview_key(&config.data_dir)?.unwrap_or_default())
}

/// Sends a state to systemd, if it started the server with `Type=notify`.
fn notify_service_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "cannot notify the service manager");
    }
}

/// Serves both ports until `stop` turns true, then waits a limited time for open streams and requests.
async fn serve(
    xds: &XdsServer,
    routes: Routes,
    live: Live,
    acceptor: &Arc<Acceptor>,
    listeners: Listeners,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let router = api::router(Arc::new(live), stop.clone());
    let rest = api::serve::serve(listeners.api, router, stop.clone());
    let incoming = acceptor.incoming(listeners.xds);
    notify_service_manager(NotifyState::Ready);
    let (mut stopped, mut overdue) = (stop.clone(), stop);
    let grpc =
        grpc_server().add_routes(routes).serve_with_incoming_shutdown(incoming, async move {
            // A dropped sender also stops the server.
            stopped.wait_for(|stop| *stop).await.ok();
            notify_service_manager(NotifyState::Stopping);
            xds.drain().await;
        });
    let grpc = async {
        tokio::select! {
            ended = grpc => ended,
            () = async {
                overdue.wait_for(|stop| *stop).await.ok();
                tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
            } => Ok(()),
        }
    };
    let (ended, ()) = tokio::join!(grpc, rest);
    Ok(ended?)
}

/// Runs hooks, DNS updates, queries and notifications until the controller stops.
async fn effects(notifier: Notifier, queries: Queries, receivers: watch::Receiver<Vec<Receiver>>) {
    let Notifier { controller, webhooks, clock, backoff, supervisor, .. } = notifier.clone();
    tokio::join!(
        hooks::run(controller.clone(), webhooks, backoff, supervisor.clone()),
        queries::run(queries, controller.clone(), clock.clone(), supervisor.clone()),
        dns::run(controller, clock, backoff, supervisor),
        notifier.run(receivers),
    );
}

/// Wakes the controller when a sidecar connects, disconnects, ACKs or NACKs: at once for the first change, then at most once
/// per interval, because thousands of sidecars ACK one push.
async fn wake_on_change(ack_tracker: &AckTracker, wake: &Notify) {
    let mut changes = ack_tracker.changes();
    while changes.changed().await.is_ok() {
        wake.notify_one();
        tokio::time::sleep(ACK_POLL_INTERVAL).await;
    }
}

/// Finds sidecars of Istio fleets that have stopped reporting.
async fn sweep(reporters: &Reporters, clock: &Clock) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        reporters.sweep(clock.now());
    }
}

/// Updates the sidecars that do not report.
async fn find_silent_sidecars(ack_tracker: &AckTracker, telemetry: &Telemetry) {
    loop {
        tokio::time::sleep(SILENCE_POLL_INTERVAL).await;
        ack_tracker.update_silent(Duration::from_millis(telemetry.interval_ms().into()));
    }
}

/// The last publication, for sidecars that request their configuration with reports.
struct Published(watch::Receiver<Arc<SnapshotSet>>);

impl FilterConfigs for Published {
    fn of(&self, fleet: &str) -> Option<Arc<EncodedConfig>> {
        self.0.borrow().fleet(fleet)?.encoded_config().cloned()
    }

    fn is_current(&self, fleet: &str, version: &str) -> bool {
        let snapshots = self.0.borrow();
        let config = snapshots.fleet(fleet).and_then(|it| it.filter_config());
        config.is_some_and(|config| config.version == version)
    }
}
