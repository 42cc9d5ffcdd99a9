//! A control plane, a service with two versions, a sidecar and a gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_demo_app::load::LoadConfig;
use tidegate_tests::backends::Backends;
use tidegate_tests::control_plane::ControlPlane;
use tidegate_tests::story::{Operator, Traffic};
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::{binaries, ports};
use tidegate_xds::tokens::TokenKey;
use tokio::sync::{Mutex, MutexGuard};

use super::proxy::{Destinations, Extension, PLUGIN, Proxy, Role};

/// Meshes share the machine's cores, so one runs at a time.
static ONE_MESH: Mutex<()> = Mutex::const_new(());

/// A host of the service that sidecar and gateway route.
pub(crate) const HOST: &str = "order.example.com";

/// Dropping it ends its processes, clients before servers.
pub(crate) struct Mesh {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) control: ControlPlane,
    pub(crate) backends: Backends,
    dir: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Mesh {
    /// Starts everything with the versions of the demo, and waits until both proxies have their configuration.
    pub(crate) async fn start() -> Result<Self> {
        let backends = Backends::start().await?;
        let addresses =
            [backends.get("order", "v1")?.address(), backends.get("order", "v2")?.address()];
        Self::start_with(backends, addresses).await
    }

    /// The same, with other servers behind the two versions.
    pub(crate) async fn start_with(backends: Backends, [v1, v2]: [SocketAddr; 2]) -> Result<Self> {
        let alone = ONE_MESH.lock().await;
        let dir = tempfile::Builder::new().prefix("tidegate-").tempdir()?;
        let (xds, api) = (ports::free_address()?, ports::free_address()?);
        let config = config(xds, api, dir.path())?;
        let control =
            ControlPlane::start(&binaries::tidegate()?, &config, xds, api, dir.path()).await?;
        let to = Destinations { control_plane: xds, v1, v2, tokens: tokens(dir.path())? };
        let mut mesh = Self { proxies: Vec::new(), control, backends, dir, _alone: alone };
        for (name, role) in [("app-1", Role::Sidecar), ("edge-1", Role::Gateway)] {
            let extension = Extension::Filter(Some(PLUGIN));
            mesh.proxies.push(Proxy::start(mesh.dir.path(), name, role, &to, extension)?);
        }
        for proxy in &mut mesh.proxies {
            proxy.envoy.ready().await?;
        }
        mesh.until_synced().await?;
        Ok(mesh)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn operator(&self) -> Operator<'_> {
        Operator::new(&self.control)
    }

    /// The sidecars, as the server lists them.
    pub(crate) async fn nodes(&self) -> Result<Vec<Value>> {
        self.control.get("nodes").await
    }

    /// Waits until every proxy reports the newest configuration from all its threads.
    pub(crate) async fn until_synced(&self) -> Result<()> {
        let count = self.proxies.len();
        let synced = async || {
            let nodes = self.nodes().await.ok()?;
            // Two workers and the main thread.
            let is_synced =
                |node: &&Value| node["synced"] == true && node["reporting"]["instances"] == 3;
            (nodes.iter().filter(is_synced).count() == count).then_some(())
        };
        until("all sidecars to have the newest configuration", WAIT_LIMIT, synced).await
    }

    /// A load of these users on both proxies.
    pub(crate) fn load(&self, rate: f64, users: u64) -> LoadConfig {
        let targets = self.proxies.iter().map(|proxy| proxy.ingress).collect();
        LoadConfig {
            rate,
            users,
            track_users: true,
            timeout: Duration::from_secs(5),
            ..LoadConfig::new(targets, HOST)
        }
    }

    pub(crate) async fn traffic(&self, rate: f64, users: u64) -> Result<Traffic> {
        Traffic::with("order", &self.load(rate, users)).await
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // Keeps the logs of a failed test.
        self.dir.disable_cleanup(std::thread::panicking());
    }
}

fn config(xds: SocketAddr, api: SocketAddr, dir: &Path) -> Result<String> {
    let (data, filter) = (dir.join("data"), binaries::filter()?);
    Ok(format!(
        "listen: {{xds: \"{xds}\", api: \"{api}\"}}\n\
         data_dir: {data:?}\n\
         filter: {{wasm: {filter:?}}}\n\
         fleets: [{{name: mesh, istio: {{}}}}]\n\
         defaults: {{guardrails: {{latency: {{quantile: p99, warning: 20s, critical: 30s, rollback: 40s, worse_than_stable: hold}}}}}}\n\
         services:\n\
         \x20 - name: order\n\
         \x20   istio: {{host: order.default.svc.cluster.local, port: 80}}\n\
         \x20   identity: [{{header: x-user-id}}]\n\
         \x20   strategy: {{canary: {{steps: [5%, 25%, 100%], step_time: 5s, watch: 4s, min_requests: 10}}}}\n\
         \x20   stable: v1\n\
         \x20   versions: [{{name: v1, istio: {{subset: v1}}}}, {{name: v2, istio: {{subset: v2}}}}]\n"
    ))
}

/// The tokens that the server sends for v1 and v2.
fn tokens(dir: &Path) -> Result<[String; 2]> {
    let keys: Value = serde_json::from_slice(&std::fs::read(dir.join("data/istio.keys"))?)?;
    let key = keys["current"].as_str().and_then(TokenKey::from_hex).context("no key")?;
    Ok(["v1", "v2"].map(|version| key.of_route(&"order".parse().unwrap(), version)))
}
