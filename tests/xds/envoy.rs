//! A real Envoy, killed when dropped.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tidegate::xds::bootstrap::bootstrap;
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_xds::kind::Mode;

/// A running Envoy.
pub(crate) struct Envoy {
    child: Child,
    admin: SocketAddr,
    dir: tempfile::TempDir,
    http: reqwest::Client,
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// What `tidegate envoy bootstrap` prints for a sidecar of the fleet `demo`.
pub(crate) fn demo_bootstrap(mode: Mode, xds: SocketAddr, admin: SocketAddr) -> String {
    let xds = Endpoint { host: xds.ip().to_string(), port: xds.port() };
    bootstrap(&"demo".parse().unwrap(), "sidecar-1", &xds, None, admin, mode)
}

impl Envoy {
    /// Starts the usual one.
    pub(crate) fn start(mode: Mode, xds: SocketAddr) -> Self {
        let binary = std::env::var("TIDEGATE_ENVOY").unwrap_or_else(|_| "envoy".to_owned());
        let admin = free_address();
        Self::run(Path::new(&binary), &demo_bootstrap(mode, xds, admin), admin)
    }

    /// Starts one with a bootstrap that puts the admin interface at `admin`.
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
            .expect("an Envoy in TIDEGATE_ENVOY or on the PATH");
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

    /// Its configuration as it runs.
    pub(crate) async fn config_dump(&self) -> Value {
        let url = format!("http://{}/config_dump?include_eds", self.admin);
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}
