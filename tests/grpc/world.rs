//! Two versions of a gRPC service, a control plane that releases them, and a client.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tidegate_tests::control_plane::ControlPlane;
use tidegate_tests::process::Process;
use tidegate_tests::{binaries, ports};

use super::client::Client;

/// The bootstrap in `docs/meshes.md`.
const BOOTSTRAP: &str = include_str!("../../envoy/grpc-client.json");

/// The running processes. Fields drop in this order.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) control: ControlPlane,
    _servers: [Process; 2],
    _dir: TempDir,
}

impl World {
    /// Starts all processes, with v1 as stable.
    pub(crate) async fn start() -> Result<Self> {
        let python = tokio::task::spawn_blocking(python).await??;
        let dir = tempfile::Builder::new().prefix("tidegate-grpc-").tempdir()?;
        let (v1, v1_port) = server(&python, "v1", dir.path()).await?;
        let (v2, v2_port) = server(&python, "v2", dir.path()).await?;
        let (xds, api) = (ports::free_address()?, ports::free_address()?);
        let config = format!(
            r#"
listen: {{xds: "{xds}", api: "{api}"}}
data_dir: ./data
filter: {{wasm: tidegate_filter.wasm}}
fleets: [{{name: own}}]
services:
  - name: order
    hosts: [order.local]
    strategy: {{canary: {{steps: [30%, 100%]}}}}
    stable: v1
    versions:
      - {{name: v1, endpoints: ["127.0.0.1:{v1_port}"]}}
      - {{name: v2, endpoints: ["127.0.0.1:{v2_port}"]}}
"#
        );
        let control =
            ControlPlane::start(&binaries::tidegate()?, &config, xds, api, dir.path()).await?;
        let bootstrap = dir.path().join("grpc.json");
        let documented = "127.0.0.1:18000";
        if !BOOTSTRAP.contains(documented) {
            bail!("envoy/grpc-client.json does not contain {documented}");
        }
        std::fs::write(&bootstrap, BOOTSTRAP.replace(documented, &xds.to_string()))?;
        let client = Client::start(&python, &bootstrap, dir.path()).await?;
        Ok(Self { client, control, _servers: [v1, v2], _dir: dir })
    }
}

/// Starts the server of one version. Returns its port.
async fn server(python: &Path, version: &str, dir: &Path) -> Result<(Process, u16)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("grpc/server.py");
    let mut command = Command::new(python);
    command.arg(script).arg(version);
    let mut process = Process::spawn(version, command, dir)?;
    let line = process.wait_for_line("port ").await?;
    let port = line.trim_start_matches("port ").trim().parse().context(line)?;
    Ok((process, port))
}

fn python() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("grpc/get-grpcio");
    let found = Command::new(script).output().context("cannot run tests/grpc/get-grpcio")?;
    if !found.status.success() {
        bail!("{}", String::from_utf8_lossy(&found.stderr));
    }
    Ok(String::from_utf8(found.stdout)?.trim_end().into())
}
