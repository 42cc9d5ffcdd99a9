//! Puts the parts together: which channel leads where, what is started in which order, and how it
//! all ends. Nothing is decided here.
//!
//! ```text
//! reports ─► telemetry ─(wake)─► controller ─► publisher ─(watch)─► xDS streams ─► ledger ─(wake)─► controller
//!                                 ▲      └─(view)─► API, effects
//!                                 └── commands ────┘
//! ```

mod live;
mod metrics;
mod sidecars;

use std::sync::Arc;
use std::time::Duration;

use tidegate::api;
use tidegate::clock::Clock;
use tidegate::config::{Config, Receiver};
use tidegate::controller::{self, Parts, StartError};
use tidegate::delivery::state::State;
use tidegate::effects::notify::Notifier;
use tidegate::effects::notify::stats::Stats;
use tidegate::effects::{Outbound, Pace, TlsError, dns, hooks, smoke};
use tidegate::journal::{JournalError, Sqlite};
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::grpc::Reports;
use tidegate::xds::counters::Counters;
use tidegate::xds::fleet::Ledger;
use tidegate::xds::resources::Publisher;
use tidegate::xds::serve::{XdsServer, transport};
use tidegate_proto::report::v1::report_service_server::ReportServiceServer;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tonic::transport::server::TcpIncoming;

use live::Live;
use sidecars::{Mesh, Published};

/// How long sidecars' requests under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Why the control plane does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The controller cannot begin.
    #[error(transparent)]
    Start(#[from] StartError),
    /// xDS ended by itself.
    #[error("xDS cannot be served: {0}")]
    Xds(#[from] tonic::transport::Error),
    /// Smoke tests cannot be sent.
    #[error("no HTTP client for smoke tests: {0}")]
    Smoke(#[from] reqwest::Error),
    /// Hooks and notifications cannot be sent.
    #[error(transparent)]
    Outbound(#[from] TlsError),
    /// The one writer is gone, and nothing can be decided any more.
    #[error("the controller ended by itself; start again, the journal has all that was decided")]
    Controller,
}

/// The ports, bound before anything else is started.
pub(crate) struct Listeners {
    /// xDS and reports.
    pub(crate) xds: TcpListener,
    /// REST and metrics.
    pub(crate) api: TcpListener,
}

/// Runs the control plane until `stop` turns true, or a part of it fails.
pub(crate) async fn run(
    config: Config,
    listeners: Listeners,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let clock = Clock::system();
    let wake = Arc::new(Notify::new());
    let telemetry = Arc::new(Telemetry::new(Arc::clone(&wake)));
    let ledger = Ledger::new(clock.clone());
    let counters = Arc::new(Counters::default());
    // Nobody is served before the controller has published what the journal says.
    let publisher = Publisher::new(config.mesh, &State::default());
    let snapshots = publisher.subscribe();
    let mesh = Mesh { publisher, ledger: Arc::clone(&ledger), telemetry: Arc::clone(&telemetry) };
    let outbound = Outbound::new(clock.clone())?;
    let told = Arc::new(Stats::new(&config.notifications));
    let controller = controller::spawn(Parts {
        journal: Box::new(Sqlite::open(&config.data_dir)?),
        sidecars: Box::new(mesh),
        counts: Box::new(sidecars::Reported(Arc::clone(&telemetry))),
        clock: clock.clone(),
        services: config.services,
        flags: config.flags,
        wake: Arc::clone(&wake),
    })?;
    let published = Published(snapshots.clone());
    let reports = Reports::new(Arc::clone(&telemetry), published, clock.clone());
    let xds = XdsServer::new(snapshots, Arc::clone(&ledger), Arc::clone(&counters));
    let notifier = Notifier {
        controller: controller.clone(),
        outbound: outbound.clone(),
        clock: clock.clone(),
        pace: Pace::default(),
        data_dir: config.data_dir,
        stats: Arc::clone(&told),
    };
    let effects = effects(notifier, config.notifications);
    let live = Live {
        controller: controller.clone(),
        telemetry,
        ledger: Arc::clone(&ledger),
        counters,
        told,
        clock,
    };
    let ended = tokio::select! {
        ended = serve(&xds, reports, live, listeners, stop) => ended,
        ended = smoke::run(controller.clone(), smoke::Patience::default()) => match ended {
            Ok(()) => Err(ServeError::Controller),
            Err(error) => Err(error.into()),
        },
        () = effects => Err(ServeError::Controller),
        () = wake_on_change(&ledger, &wake) => Err(ServeError::Controller),
    };
    // Last: whoever was told that something is done must find it in the journal.
    controller.stop().await;
    ended
}

/// Serves both ports until `stop` turns true, then lets what is under way end.
async fn serve(
    xds: &XdsServer,
    reports: Reports<Published>,
    live: Live,
    listeners: Listeners,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let router = api::router(Arc::new(live), stop.clone());
    let rest = api::serve::serve(listeners.api, router, stop.clone());
    let routes = xds.routes().add_service(ReportServiceServer::new(reports));
    let incoming = TcpIncoming::from(listeners.xds).with_nodelay(Some(true));
    let (mut stopped, mut overdue) = (stop.clone(), stop);
    let grpc = transport().add_routes(routes).serve_with_incoming_shutdown(incoming, async move {
        // An error is a sender that is gone: nobody will say more.
        stopped.wait_for(|stop| *stop).await.ok();
        xds.drain();
    });
    let grpc = async {
        tokio::select! {
            ended = grpc => ended,
            () = async {
                overdue.wait_for(|stop| *stop).await.ok();
                tokio::time::sleep(GRACE).await;
            } => Ok(()),
        }
    };
    let (ended, ()) = tokio::join!(grpc, rest);
    Ok(ended?)
}

/// Hooks, DNS and notifications: until the controller is gone, which all of them notice.
async fn effects(notifier: Notifier, receivers: Vec<Receiver>) {
    let Notifier { controller, outbound, clock, pace, .. } = notifier.clone();
    tokio::join!(
        hooks::run(controller.clone(), outbound, pace),
        dns::run(controller, clock, pace),
        notifier.run(receivers),
    );
}

/// The controller looks again whenever a sidecar came, went, or acknowledged something.
async fn wake_on_change(ledger: &Ledger, wake: &Notify) {
    let mut changes = ledger.changes();
    while changes.changed().await.is_ok() {
        wake.notify_one();
    }
}
