//! A control plane with mutual TLS, a service, and Envoys.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tidegate_tests::backends::Backends;
use tidegate_tests::control_plane::{ControlPlane, XdsMode};
use tidegate_tests::envoy::{Envoy, EnvoyOptions};
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::{binaries, ports};
use tokio::task::JoinHandle;

use super::ca::{Ca, replace};

/// The fleet and its identities.
const FLEET: &str = "demo";
const IDENTITIES: &str = "spiffe://example.org/ns/shop/*";

/// The components. Fields drop in this order.
pub(crate) struct Mesh {
    pub(crate) control: ControlPlane,
    pub(crate) ingress: SocketAddr,
    _backends: Backends,
    dir: TempDir,
}

impl Mesh {
    pub(crate) async fn start(ca: &Ca) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("tidegate-").tempdir()?;
        let backends = Backends::start().await?;
        ca.server(dir.path(), "server")?;
        replace(dir.path(), "ca.pem", &ca.pem)?;
        let (xds, api, ingress) =
            (ports::free_address()?, ports::free_address()?, ports::free_address()?);
        let config = format!(
            "listen: {{xds: \"{xds}\", api: \"{api}\", tls: {{cert: server.pem, key: server.key, client_ca: ca.pem}}}}\n\
             filter: {{wasm: {:?}}}\n\
             fleets:\n  - name: {FLEET}\n    identities: [\"{IDENTITIES}\"]\n    \
             listeners: [{{name: ingress, address: \"{ingress}\", services: [\"*\"]}}]\n\
             services:\n  - name: order\n    hosts: [\"order.local\"]\n    stable: v1\n    \
             strategy: {{canary: {{steps: [50%, 100%]}}}}\n    \
             versions: [{{name: v1, endpoints: [\"{}\"]}}]\n",
            binaries::filter()?,
            backends.get("order", "v1")?.address(),
        );
        let control =
            ControlPlane::start(&binaries::tidegate()?, &config, xds, api, dir.path()).await?;
        Ok(Self { control, ingress, _backends: backends, dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts an Envoy of the fleet with the certificate `NAME.pem`. With `reloads` it reloads the file when it changes.
    pub(crate) async fn envoy(&self, name: &str, mode: XdsMode, reloads: bool) -> Result<Envoy> {
        let admin = ports::free_address()?;
        let at = |file: String| self.dir().join(file).to_string_lossy().into_owned();
        let (cert, key) = (at(format!("{name}.pem")), at(format!("{name}.key")));
        let (ca, secrets) = (at("ca.pem".to_owned()), at(String::new()));
        let mut more = vec!["--tls-cert", &cert, "--tls-key", &key, "--tls-ca", &ca];
        if reloads {
            more.extend(["--tls-secrets", &secrets]);
        }
        let bootstrap = self.control.bootstrap_with(FLEET, name, admin, mode, &more).await?;
        let binary = tokio::task::spawn_blocking(binaries::envoy).await??;
        Envoy::start(&binary, name, &bootstrap, admin, self.dir(), &EnvoyOptions::default())
    }

    /// The value of a metric of the server; zero if it does not exist.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let url = format!("http://{}/metrics", self.control.api());
        let text = reqwest::get(url).await?.error_for_status()?.text().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(Ok(0.0), |value| Ok(value.parse()?))
    }

    /// Waits until a metric of the server exceeds a value.
    pub(crate) async fn until_more(&self, name: &str, than: f64) -> Result<()> {
        let more = async || self.metric(name).await.ok().filter(|value| *value > than).map(drop);
        until(&format!("{name} above {than}"), WAIT_LIMIT, more).await
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // Keeps the logs of a failed test.
        self.dir.disable_cleanup(std::thread::panicking());
    }
}

/// Sequential requests through an Envoy.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    succeeded: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

impl Traffic {
    pub(crate) fn start(ingress: SocketAddr) -> Self {
        let (stop, succeeded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&succeeded));
        let task = tokio::spawn(async move {
            let client = reqwest::Client::builder().timeout(WAIT_LIMIT).build()?;
            while !stopped.load(Ordering::Relaxed) {
                let call = client.get(format!("http://{ingress}/")).header("host", "order.local");
                call.send().await?.error_for_status().context("a request failed")?;
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        });
        Self { stop, succeeded, task }
    }

    /// Waits for this many more successful requests.
    pub(crate) async fn more(&self, count: u64) -> Result<()> {
        let enough = self.succeeded.load(Ordering::Relaxed) + count;
        let done = async || {
            (self.succeeded.load(Ordering::Relaxed) >= enough || self.task.is_finished())
                .then_some(())
        };
        until("more requests", WAIT_LIMIT, done).await
    }

    /// Stops the requests.
    ///
    /// # Errors
    /// If any request failed.
    pub(crate) async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
