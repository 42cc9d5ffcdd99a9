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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate::api;
use tidegate::clock::Clock;
use tidegate::config::{self, Config, Receiver, Security};
use tidegate::controller::{self, Parts, StartError};
use tidegate::counters::Counters;
use tidegate::door::access::Access;
use tidegate::door::refusals::Refusals;
use tidegate::door::tls::files::TlsError;
use tidegate::door::tls::reload::{self as renewal, Certificates};
use tidegate::door::{Door, Limits};
use tidegate::effects::notify::Notifier;
use tidegate::effects::notify::stats::Stats;
use tidegate::effects::{self, Outbound, Pace, dns, health, hooks, notify, smoke};
use tidegate::journal::{JournalError, Scrub, Sqlite};
use tidegate::reload::{self, Follower, Outlets, Reloader};
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::grpc::Reports;
use tidegate::xds::debug;
use tidegate::xds::fleet::AckTracker;
use tidegate::xds::publisher::Publisher;
use tidegate::xds::serve::{XdsServer, transport};
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::state::State;
use tidegate_proto::report::v1::report_service_server::ReportServiceServer;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tonic::service::Routes;
use tracing::{error, warn};

use live::Live;
use sidecars::{Published, XdsSidecars};

/// How long sidecars' requests under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// Between two looks at who acknowledged.
const BREATH: Duration = Duration::from_millis(10);

/// Why the control plane does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The controller cannot begin.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No thread to verify the journal's past in.
    #[error("cannot verify the journal: {0}")]
    Scrub(#[source] std::io::Error),
    /// xDS ended by itself.
    #[error("xDS cannot be served: {0}")]
    Xds(#[from] tonic::transport::Error),
    /// Smoke tests could not open the preview listeners.
    #[error("the key of the preview listeners: {0}")]
    PreviewKey(#[source] std::io::Error),
    /// What the port tells of itself cannot be put together.
    #[error("gRPC reflection cannot be served: {0}")]
    Reflection(#[from] debug::ReflectionError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody looks for new certificates any more.
    #[error("certificates cannot be read again: {0}")]
    Reload(#[from] tokio::task::JoinError),
    /// Smoke tests cannot be sent.
    #[error("no HTTP client for smoke tests and health: {0}")]
    Smoke(#[from] reqwest::Error),
    /// Hooks and notifications cannot be sent.
    #[error(transparent)]
    Outbound(#[from] effects::TlsError),
    /// The one writer is gone, and nothing can be decided any more.
    #[error("the controller ended by itself; start again, the journal has all that was decided")]
    Controller,
}

/// The configuration file, to be followed.
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Notified when it is to be taken at once.
    pub(crate) reread: Arc<Notify>,
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
    mut config: Config,
    file: File,
    listeners: Listeners,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let entrance = Entrance::new(&config)?;
    let clock = Clock::system();
    let wake = Arc::new(Notify::new());
    let telemetry = Arc::new(Telemetry::new(Arc::clone(&wake)));
    let ack_tracker = AckTracker::new(clock.clone());
    let counters = Arc::new(Counters::default());
    // Nobody is served before the controller has published what the journal says.
    if config.mesh.has_previews() {
        config.mesh.preview_key =
            config::preview_key(&config.data_dir).map_err(ServeError::PreviewKey)?;
    }
    let (previews, ways) = watch::channel(smoke::Previews::of_mesh(&config.mesh));
    let (receivers, told_whom) = watch::channel(config.notifications.clone());
    let publisher = Publisher::new(&config.mesh, &State::default());
    let snapshots = publisher.subscribe();
    let sidecars = XdsSidecars {
        publisher,
        ack_tracker: Arc::clone(&ack_tracker),
        telemetry: Arc::clone(&telemetry),
    };
    let journal = Sqlite::open(&config.data_dir)?;
    let unverified_prefix = journal.unverified_prefix();
    let newest = journal.head().seq;
    if let Err(error) = notify::begin(&config.data_dir, &config.notifications, newest) {
        // A receiver is no reason not to start: it is told of what comes.
        error!(%error, "how far receivers of notifications came cannot be read or written");
    }
    let outbound = Outbound::new(clock.clone())?;
    let told = Arc::<Stats>::default();
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
    })?;
    let published = Published(snapshots.clone());
    let reports = Reports::new(
        Arc::clone(&telemetry),
        published,
        Arc::clone(&entrance.access),
        clock.clone(),
    );
    let xds = XdsServer::new(
        snapshots.clone(),
        Arc::clone(&ack_tracker),
        Arc::clone(&counters),
        Arc::clone(&entrance.access),
    );
    let routes = xds.routes().add_service(ReportServiceServer::new(reports));
    let routes = debug::add_to(routes, snapshots, xds.draining(), Arc::clone(&ack_tracker))?;
    let scrub =
        Scrub::start(config.data_dir.clone(), unverified_prefix).map_err(ServeError::Scrub)?;
    let notifier = Notifier {
        controller: controller.clone(),
        outbound: outbound.clone(),
        clock: clock.clone(),
        pace: Pace::default(),
        data_dir: config.data_dir.clone(),
        stats: Arc::clone(&told),
    };
    let effects = effects(notifier, told_whom);
    let outlets = Outlets { access: Arc::clone(&entrance.access), previews, receivers };
    let base = file.path.parent().map(Path::to_owned).unwrap_or_default();
    let hash = config.hash.clone();
    let reloader = Reloader::new(controller.clone(), clock.clone(), base, config, outlets);
    let follower = Follower::new(Arc::clone(&reloader), file.path, hash);
    let live = Live {
        scrub,
        controller: controller.clone(),
        reloader,
        file: follower.status(),
        telemetry,
        ack_tracker: Arc::clone(&ack_tracker),
        counters,
        door: Arc::clone(&entrance.door),
        tls: entrance.certificates.as_ref().map(Certificates::stats),
        told,
        clock,
    };
    let ended = tokio::select! {
        ended = serve(&xds, routes, live, &entrance.door, listeners, stop) => ended,
        ended = smoke::run(controller.clone(), ways, smoke::Patience::default()) => match ended {
            Ok(()) => Err(ServeError::Controller),
            Err(error) => Err(error.into()),
        },
        ended = follow(entrance.certificates) => Err(ended.into()),
        ended = health::run(controller.clone(), health::Interval::default()) => match ended {
            Ok(()) => Err(ServeError::Controller),
            Err(error) => Err(error.into()),
        },
        () = follower.follow(reload::PERIOD, &file.reread) => Err(ServeError::Controller),
        () = effects => Err(ServeError::Controller),
        () = wake_on_change(&ack_tracker, &wake) => Err(ServeError::Controller),
    };
    // Last: whoever was told that something is done must find it in the journal.
    controller.stop().await;
    ended
}

/// How sidecars come in.
struct Entrance {
    door: Arc<Door>,
    access: Arc<Access>,
    /// `None`: plaintext.
    certificates: Option<Certificates>,
}

impl Entrance {
    fn new(config: &Config) -> Result<Self, TlsError> {
        let refusals = Arc::new(Refusals::default());
        let (certificates, access) = match &config.listen.security {
            Security::Plaintext => (None, Access::for_anybody(Arc::clone(&refusals))),
            Security::MutualTls(files) => {
                let certificates = Certificates::load(files.clone())?;
                let access = Access::by_identity(config.identities.clone(), Arc::clone(&refusals));
                (Some(certificates), access)
            }
        };
        if certificates.is_none() && !config.listen.xds.ip().is_loopback() {
            warn!(
                address = %config.listen.xds,
                "plaintext, as `insecure_plaintext` asks: whoever reaches this port can be any sidecar"
            );
        }
        let newest = certificates.as_ref().map(Certificates::newest);
        let door = Door::new(newest, Limits::default(), refusals);
        Ok(Self { door, access: Arc::new(access), certificates })
    }
}

/// Keeps the certificates new. Returns only if that fails.
async fn follow(certificates: Option<Certificates>) -> tokio::task::JoinError {
    match certificates {
        Some(certificates) => certificates.follow(renewal::PERIOD).await,
        None => std::future::pending().await,
    }
}

/// Serves both ports until `stop` turns true, then lets what is under way end.
async fn serve(
    xds: &XdsServer,
    routes: Routes,
    live: Live,
    door: &Arc<Door>,
    listeners: Listeners,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let router = api::router(Arc::new(live), stop.clone());
    let rest = api::serve::serve(listeners.api, router, stop.clone());
    let incoming = door.open(listeners.xds);
    let (mut stopped, mut overdue) = (stop.clone(), stop);
    let grpc = transport().add_routes(routes).serve_with_incoming_shutdown(incoming, async move {
        // An error is a sender that is gone: nobody will say more.
        stopped.wait_for(|stop| *stop).await.ok();
        xds.drain().await;
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
async fn effects(notifier: Notifier, receivers: watch::Receiver<Vec<Receiver>>) {
    let Notifier { controller, outbound, clock, pace, .. } = notifier.clone();
    tokio::join!(
        hooks::run(controller.clone(), outbound, pace),
        dns::run(controller, clock, pace),
        notifier.run(receivers),
    );
}

/// The controller looks again when a sidecar came, went, or acknowledged something: at once for the first of them,
/// and then after a breath, because one push to a fleet is acknowledged by thousands.
async fn wake_on_change(ack_tracker: &AckTracker, wake: &Notify) {
    let mut changes = ack_tracker.changes();
    while changes.changed().await.is_ok() {
        wake.notify_one();
        tokio::time::sleep(BREATH).await;
    }
}
