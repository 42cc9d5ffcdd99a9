//! A real Envoy process, which is killed when dropped.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tidegate::xds::bootstrap::bootstrap;
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_tests::binaries;
use tidegate_xds::kind::Mode;
use tidegate_xds::mesh::CONTROL_PLANE_CLUSTER;

/// A running Envoy.
pub(crate) struct Envoy {
    child: Child,
    admin: SocketAddr,
    dir: tempfile::TempDir,
    http: reqwest::Client,
}

/// The Envoy that [`binaries::envoy`] finds, installed first if there is none.
pub(crate) async fn newest() -> PathBuf {
    tokio::task::spawn_blocking(binaries::envoy).await.unwrap().unwrap()
}

/// Envoy in exactly this version, installed first if it is missing.
pub(crate) async fn version(version: &'static str) -> PathBuf {
    tokio::task::spawn_blocking(move || binaries::envoy_version(version)).await.unwrap().unwrap()
}

/// An unused address. Another process may bind it before the caller does.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The output of `tidegate envoy bootstrap` for a sidecar of the fleet `demo`.
pub(crate) fn demo_bootstrap(mode: Mode, xds: SocketAddr, admin: SocketAddr) -> String {
    let xds = Endpoint { host: xds.ip().to_string(), port: xds.port() };
    bootstrap(&"demo".parse().unwrap(), "sidecar-1", CONTROL_PLANE_CLUSTER, &xds, None, admin, mode)
}

impl Envoy {
    /// Starts an Envoy of the fleet `demo`.
    pub(crate) fn start(binary: &Path, mode: Mode, xds: SocketAddr) -> Self {
        let admin = free_address();
        Self::run(binary, &demo_bootstrap(mode, xds, admin), admin)
    }

    /// Starts an Envoy with a bootstrap whose admin interface is at `admin`.
    pub(crate) fn run(binary: &Path, bootstrap: &str, admin: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("bootstrap.yaml");
        std::fs::write(&config, bootstrap).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(binary)
            .arg("--config-path")
            .arg(&config)
            .args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "info"])
            .args(["--component-log-level", "config:debug,upstream:debug"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Envoy starts");
        Self { child, admin, dir, http: reqwest::Client::new() }
    }

    /// Waits until its listeners accept.
    pub(crate) async fn ready(&mut self) {
        let url = format!("http://{}/ready", self.admin);
        for _ in 0..600 {
            if let Ok(answer) = self.http.get(&url).send().await
                && answer.status().is_success()
            {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "Envoy ended: {ended:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Envoy is not ready\n{}", self.log());
    }

    /// The configuration in use, with endpoints.
    pub(crate) async fn config_dump(&self) -> Value {
        let url = format!("http://{}/config_dump?include_eds", self.admin);
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // `kill` fails if the process has exited.
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}
