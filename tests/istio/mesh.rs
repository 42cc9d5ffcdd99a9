//! A control plane, a service with two versions, and the proxies before it: a sidecar, a gateway and a waypoint.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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

use super::proxy::{Destinations, Proxy, Role};

/// Meshes share the machine's cores, so one runs at a time.
static ONE_MESH: Mutex<()> = Mutex::const_new(());

/// A host of the service that all proxies route.
pub(crate) const HOST: &str = "order.example.com";

/// How often a sidecar reported a new configuration, and the sum of the times from its publication.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convergences {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
}

/// Dropping it ends its processes, clients before servers.
pub(crate) struct Mesh {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) control: ControlPlane,
    pub(crate) backends: Backends,
    dir: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// What differs from the usual mesh.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// The servers of v1 and v2, instead of those of the demo.
    pub(crate) versions: Option<[SocketAddr; 2]>,
    /// The module of the sidecar, instead of the release build.
    pub(crate) module: Option<PathBuf>,
    /// Whether the pod of v1 has a sidecar of its own, with the filter.
    pub(crate) has_inbound: bool,
}

impl Mesh {
    /// Starts everything, and waits until all proxies have their configuration.
    pub(crate) async fn start(setup: Setup) -> Result<Self> {
        let backends = Backends::start().await?;
        let demo = [backends.get("order", "v1")?.address(), backends.get("order", "v2")?.address()];
        let [v1, v2] = setup.versions.unwrap_or(demo);
        let alone = ONE_MESH.lock().await;
        let dir = tempfile::Builder::new().prefix("tidegate-").tempdir()?;
        let (xds, api) = (ports::free_address()?, ports::free_address()?);
        let config = config(xds, api, dir.path())?;
        let control =
            ControlPlane::start(&binaries::tidegate()?, &config, xds, api, dir.path()).await?;
        let mut to = Destinations { control_plane: xds, v1, v2, tokens: tokens(dir.path())? };
        let mut mesh = Self { proxies: Vec::new(), control, backends, dir, _alone: alone };
        let filter = binaries::filter()?;
        mesh.add("gateway", Role::Gateway, &to, filter.clone()).await?;
        mesh.add("waypoint", Role::Waypoint, &to, filter.clone()).await?;
        if setup.has_inbound {
            mesh.add("order-v1", Role::Inbound, &to, filter.clone()).await?;
            to.v1 = mesh.proxy(Role::Inbound).ingress;
        }
        mesh.add("app", Role::Sidecar, &to, setup.module.unwrap_or(filter)).await?;
        for proxy in &mut mesh.proxies {
            proxy.envoy.ready().await?;
        }
        mesh.until_synced().await?;
        Ok(mesh)
    }

    async fn add(
        &mut self,
        name: &str,
        role: Role,
        to: &Destinations,
        module: PathBuf,
    ) -> Result<()> {
        self.proxies.push(Proxy::start(self.dir.path(), name, role, to, module).await?);
        Ok(())
    }

    /// The proxy with a role.
    pub(crate) fn proxy(&self, role: Role) -> &Proxy {
        self.proxies.iter().find(|proxy| proxy.role == role).unwrap()
    }

    /// The proxies that choose versions.
    pub(crate) fn routing(&self) -> impl Iterator<Item = &Proxy> {
        self.proxies.iter().filter(|proxy| proxy.role != Role::Inbound)
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

    /// Waits until all instances of the filter of a proxy are silent, as the server sees it.
    pub(crate) async fn until_silent(&self, node: &str) -> Result<()> {
        let silent = async || {
            let nodes = self.nodes().await.ok()?;
            let is_silent = |it: &Value| it["id"] == node && it["reporting"]["silent"] == 3;
            nodes.iter().any(is_silent).then_some(())
        };
        until("the sidecar to be silent", WAIT_LIMIT, silent).await?;
        let metrics = self.metrics().await?;
        let counted = "tidegate_istio_sidecars{fleet=\"mesh\",state=\"silent\"} 1";
        ensure!(metrics.contains(counted), "{metrics}");
        Ok(())
    }

    /// Waits until the release waits for silent sidecars alone, and `work` between two looks. Returns the blocker.
    pub(crate) async fn until_blocked_by_silence(
        &self,
        work: impl AsyncFn() -> Result<()>,
    ) -> Result<String> {
        let alone = async || {
            work().await.ok()?;
            let service: Value = self.control.get("services/order").await.ok()?;
            let blockers = service["release"]["progress"]["blockers"].as_array()?.clone();
            let [only] = &blockers[..] else { return None };
            (only["kind"] == "silent_sidecars").then(|| only["detail"].to_string())
        };
        until("the release to wait for silent sidecars alone", WAIT_LIMIT, alone).await
    }

    /// Waits until every instance of the filter has reported again: in equal intervals, twice as many reports as instances.
    pub(crate) async fn until_reported_again(&self) -> Result<()> {
        const ACCEPTED: &str = "tidegate_reports_total{result=\"accepted\"}";
        let instances = 3 * self.proxies.len() as u64;
        let enough = self.metric(ACCEPTED).await? + 2 * instances;
        let reported = async || (self.metric(ACCEPTED).await.ok()? >= enough).then_some(());
        until("reports of all instances", WAIT_LIMIT, reported).await
    }

    /// The value of a counter; 0 if it does not exist.
    pub(crate) async fn metric(&self, series: &str) -> Result<u64> {
        value(&self.metrics().await?, series)
    }

    /// The acknowledgements until now.
    pub(crate) async fn convergences(&self) -> Result<Convergences> {
        let metrics = self.metrics().await?;
        Ok(Convergences {
            count: value(&metrics, "tidegate_convergence_seconds_count")?,
            seconds: value(&metrics, "tidegate_convergence_seconds_sum")?,
        })
    }

    /// Median and 99th percentile of the time from the start of a step until proxies had it, in milliseconds.
    pub(crate) async fn step_times(&self) -> Result<[u64; 2]> {
        let service: Value = self.control.get("services/order").await?;
        let convergence = &service["release"]["progress"]["convergence"];
        let of = |key: &str| convergence[key].as_u64().with_context(|| format!("{convergence}"));
        Ok([of("p50_ms")?, of("p99_ms")?])
    }

    pub(crate) async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.control.api());
        Ok(reqwest::get(url).await?.text().await?)
    }

    /// A load of these users on all proxies that choose versions.
    pub(crate) fn load(&self, rate: f64, users: u64) -> LoadConfig {
        let targets = self.routing().map(|proxy| proxy.ingress).collect();
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
         \x20   strategy: {{canary: {{steps: [5%, 25%, 100%], step_time: 5s, watch: 6s, min_requests: 10}}}}\n\
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

/// The value of a series, or zero.
fn value<T: std::str::FromStr + Default>(metrics: &str, series: &str) -> Result<T> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(series));
    value.map_or(Ok(T::default()), |it| it.trim().parse().ok().context("not a number"))
}
