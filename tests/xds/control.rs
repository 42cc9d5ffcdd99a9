//! The xDS server in this process, and the states that it publishes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::auth::access::Access;
use tidegate::clock::Clock;
use tidegate::xds::fleet::AckTracker;
use tidegate::xds::metrics::XdsMetrics;
use tidegate::xds::publisher::Publisher;
use tidegate::xds::serve::{XdsServer, grpc_server};
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::Services;
use tidegate_delivery::units::Timestamp;
use tidegate_tests::binaries;
use tidegate_xds::mesh::{Fleet, Listener, Mesh, Purpose};
use tidegate_xds::resources::FleetSnapshot;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;

/// Time limit of each wait, for a busy machine.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Any free port.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running xDS server. Dropping it breaks its streams, as a kill of the process does.
pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    pub(crate) ack_tracker: Arc<AckTracker>,
    mesh: Mesh,
    publisher: Publisher,
    runtime: Option<Runtime>,
}

impl Control {
    /// Serves one fleet, `demo`, whose Envoys listen at `ingress`. The filter file does not exist.
    pub(crate) async fn start(ingress: SocketAddr, state: &State) -> Self {
        Self::start_at(ANYWHERE, ingress, state).await
    }

    /// The same, at the address of an earlier server.
    pub(crate) async fn start_at(xds: SocketAddr, ingress: SocketAddr, state: &State) -> Self {
        let wasm = "/nonexistent/tidegate_filter.wasm".to_owned();
        Self::serve(xds, Mesh::new(wasm, vec![demo(ingress)]), state)
    }

    /// Serves two fleets with the filter: `demo`, and `own`, whose Envoys have static listeners.
    pub(crate) fn start_with_filter(ingress: SocketAddr, state: &State) -> Self {
        let wasm = binaries::filter().unwrap().to_str().unwrap().to_owned();
        let own = fleet("own", Vec::new());
        Self::serve(ANYWHERE, Mesh::new(wasm, vec![demo(ingress), own]), state)
    }

    fn serve(xds: SocketAddr, mesh: Mesh, state: &State) -> Self {
        let listener = std::net::TcpListener::bind(xds).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let publisher = Publisher::new(&mesh, state);
        let ack_tracker = AckTracker::new(Clock::new(|| Timestamp(0)));
        let server = XdsServer::new(
            publisher.subscribe(),
            Arc::clone(&ack_tracker),
            XdsMetrics::default(),
            Arc::new(Access::unrestricted(Arc::default())),
        );
        let runtime = Runtime::new().unwrap();
        runtime.spawn(async move {
            let incoming = tokio::net::TcpListener::from_std(listener).unwrap();
            let routes = grpc_server().add_routes(server.routes());
            routes.serve_with_incoming(TcpListenerStream::new(incoming)).await
        });
        Self { address, ack_tracker, mesh, publisher, runtime: Some(runtime) }
    }

    /// The newest snapshot of a fleet.
    pub(crate) fn published(&self, fleet: &str) -> Arc<FleetSnapshot> {
        let newest = Arc::clone(&self.publisher.subscribe().borrow());
        Arc::clone(newest.fleet(fleet).unwrap())
    }

    /// Publishes a state and waits until every Envoy has answered it.
    pub(crate) async fn publish(&mut self, state: &State) {
        let serial = self.publisher.publish(&self.mesh, state);
        self.converged(serial, 1).await;
    }

    /// Waits until `envoys` are connected and have answered a publication.
    pub(crate) async fn converged(&self, serial: u64, envoys: u32) {
        let mut changes = self.ack_tracker.changes();
        let done = async {
            loop {
                // A NACK is an answer too.
                let mut nodes = self.ack_tracker.nodes();
                nodes.retain(|node| node.connected);
                let answered = nodes.iter().all(|node| node.synced >= serial);
                if nodes.len() >= envoys as usize && answered {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(WAIT_LIMIT, done).await.is_err() {
            panic!("no convergence on {serial}: {:#?}", self.ack_tracker.nodes());
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn demo(ingress: SocketAddr) -> Fleet {
    let listener = Listener {
        name: "ingress".to_owned(),
        address: ingress,
        services: Services::All,
        purpose: Purpose::Traffic,
    };
    fleet("demo", vec![listener])
}

fn fleet(name: &str, listeners: Vec<Listener>) -> Fleet {
    Fleet::new(name.parse().unwrap(), listeners)
}

/// The service `order` with these versions, and a release of `candidate` at a weight in parts per million, if any.
pub(crate) fn order(
    versions: &[(&str, &str)],
    stable: &str,
    candidate: Option<(&str, u32)>,
) -> State {
    let versions: Value = versions
        .iter()
        .map(|(name, endpoint)| {
            let (host, port) = endpoint.rsplit_once(':').unwrap();
            let port: u16 = port.parse().unwrap();
            ((*name).to_owned(), json!({"endpoints": [{"host": host, "port": port}]}))
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    let step = |weight: u32| json!({"weight": weight, "time": 0, "min_requests": 0});
    let plan = |weight: u32| {
        json!({
            "strategy": "canary", "steps": [step(weight)], "watch": 0, "smoke_tests": [],
            "convergence": {"share": 1_000_000}, "on_fail": "rollback", "rollback_window": 0
        })
    };
    let release = candidate.map(|(candidate, weight)| {
        json!({
            "id": "order.1", "service": "order", "candidate": candidate, "stable": stable,
            "plan": plan(weight), "started_at": 0, "started_by": "anne",
            "phase": {"phase": "stepping", "step": 0, "since": 0}, "paused_at": null,
            "converged": false, "alerts": {}, "overridden": [], "approvals": [], "calls": []
        })
    });
    let limits = Guardrails::default();
    serde_json::from_value(json!({
        "services": {"order": {
            "spec": {
                "name": "order", "hosts": ["order.local"], "identity": [{"header": "x-user-id"}], "versions": versions,
                "stable": stable, "environments": null, "guardrails": limits,
                "plan": plan(1_000_000)
            },
            "stable": stable, "previous": null, "release": release, "releases": 1, "checks": {},
            "signals": {}, "quarantined": {}, "rolled_back": {}, "earlier_calls": [],
            "dns": {"published": null, "error": null}
        }},
        "flags": {}, "flag_revision": 0, "evaluators": {}, "declared": {}, "retired": {}, "freeze_windows": [],
        "fleets": [], "groups": {}
    }))
    .unwrap()
}
