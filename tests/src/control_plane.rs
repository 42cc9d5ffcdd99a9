//! The `tidegate` binary: a server that can be killed and restarted, its REST API, and its CLI.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::process::Process;
use crate::wait;

/// Variant of the xDS protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdsMode {
    /// State of the world.
    Sotw,
    /// Delta.
    #[default]
    Delta,
}

impl XdsMode {
    /// The value of `tidegate envoy bootstrap --mode`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sotw => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// A control plane. After [`Self::kill9`] its files remain, and [`Self::restart`] starts it with them.
#[derive(Debug)]
pub struct ControlPlane {
    binary: PathBuf,
    config: PathBuf,
    dir: PathBuf,
    xds: SocketAddr,
    api: SocketAddr,
    process: Option<Process>,
    http: Client,
}

/// A response of the REST API.
#[derive(Clone, Debug)]
pub struct RestResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// JSON body; null if empty.
    pub body: Value,
}

impl ControlPlane {
    /// Starts `tidegate serve` with a configuration that listens on `xds` and `api`, and waits until it is ready. Its files
    /// are in `dir`.
    ///
    /// # Errors
    /// If it ends first, or is not ready in time.
    pub async fn start(
        binary: &Path,
        config: &str,
        xds: SocketAddr,
        api: SocketAddr,
        dir: &Path,
    ) -> Result<Self> {
        let file = dir.join("tidegate.yaml");
        fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
        let mut control = Self {
            binary: binary.to_owned(),
            config: file,
            dir: dir.to_owned(),
            xds,
            api,
            process: None,
            http: wait::http()?,
        };
        control.restart().await?;
        Ok(control)
    }

    /// Address of xDS.
    #[must_use]
    pub fn xds(&self) -> SocketAddr {
        self.xds
    }

    /// Address of the REST API.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// The process.
    ///
    /// # Errors
    /// If it is not running.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the control plane is not running")
    }

    /// Checks its journal with [`Self::replay`], then kills it with SIGKILL.
    ///
    /// # Errors
    /// If it is not running, or its journal does not fold to its state.
    pub fn kill9(&mut self) -> Result<()> {
        self.replay()?;
        self.process.take().context("the control plane is not running")?.kill9()
    }

    /// Sends SIGTERM and returns the exit status.
    ///
    /// # Errors
    /// If it is not running, or does not stop.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let process = self.process.take().context("the control plane is not running")?;
        process.terminate(wait::WAIT_LIMIT).await
    }

    /// Folds its journal and compares the result with its state.
    ///
    /// # Errors
    /// If they differ, or there is no response.
    pub fn replay(&self) -> Result<()> {
        let server = format!("http://{}", self.api);
        let mut command = Command::new(&self.binary);
        command.args(["audit", "replay", "--server", &server, "--data-dir"]);
        let output = command
            .arg(self.dir.join("data"))
            .output()
            .context("cannot run tidegate audit replay")?;
        if !output.status.success() {
            bail!("tidegate audit replay: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Starts it with its data directory, after ending a running process, and waits until it is ready.
    ///
    /// # Errors
    /// If it ends first, or is not ready in time.
    pub async fn restart(&mut self) -> Result<()> {
        // The previous process must release the ports.
        drop(self.process.take());
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(&self.config);
        let mut process = Process::spawn("tidegate", command, &self.dir)?;
        let (http, url) = (&self.http, format!("http://{}/readyz", self.api));
        let ready = async || {
            http.get(&url).send().await.ok().filter(|answer| answer.status().is_success()).map(drop)
        };
        process.wait_for("the control plane is ready", ready).await?;
        self.process = Some(process);
        Ok(())
    }

    /// `GET /api/v1/PATH`, deserialised.
    ///
    /// # Errors
    /// If the status is not a success, or the body does not match the type.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.ask(Method::GET, path, None).await?;
        if !answer.status.is_success() {
            bail!("GET {path}: {} {}", answer.status, answer.body);
        }
        serde_json::from_value(answer.body).with_context(|| format!("GET {path}"))
    }

    /// `POST /api/v1/PATH` with a JSON body. The response may have any status.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn post(&self, path: &str, body: &Value) -> Result<RestResponse> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Any request under `/api/v1`. The response may have any status.
    ///
    /// # Errors
    /// If there is no response, or its body is not JSON.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<RestResponse> {
        let mut request = self.http.request(method, format!("http://{}/api/v1/{path}", self.api));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(RestResponse { status, body })
    }

    /// Runs a client command against this server, whatever its outcome.
    ///
    /// # Errors
    /// If it cannot be run.
    pub async fn cli(&self, args: &[&str]) -> Result<Output> {
        let server = format!("http://{}", self.api);
        let mut command = tokio::process::Command::new(&self.binary);
        command.args(args).args(["--server", &server]).current_dir(&self.dir).kill_on_drop(true);
        command.output().await.with_context(|| format!("cannot run tidegate {}", args.join(" ")))
    }

    /// A bootstrap for one sidecar, as `tidegate envoy bootstrap` prints it.
    ///
    /// # Errors
    /// If it prints none.
    pub async fn bootstrap(
        &self,
        fleet: &str,
        id: &str,
        admin: SocketAddr,
        mode: XdsMode,
    ) -> Result<String> {
        self.bootstrap_with(fleet, id, admin, mode, &[]).await
    }

    /// The same, with more arguments.
    ///
    /// # Errors
    /// If it prints none.
    pub async fn bootstrap_with(
        &self,
        fleet: &str,
        id: &str,
        admin: SocketAddr,
        mode: XdsMode,
        more: &[&str],
    ) -> Result<String> {
        let (xds, admin) = (self.xds.to_string(), admin.to_string());
        let mut command = tokio::process::Command::new(&self.binary);
        command.args(["envoy", "bootstrap", "--fleet", fleet, "--id", id]);
        command.args(["--xds", &xds, "--admin", &admin, "--mode", mode.name()]).args(more);
        command.kill_on_drop(true);
        let printed = command.output().await.context("cannot run tidegate envoy bootstrap")?;
        if !printed.status.success() {
            bail!("tidegate envoy bootstrap: {}", String::from_utf8_lossy(&printed.stderr));
        }
        Ok(String::from_utf8(printed.stdout)?)
    }
}

impl Drop for ControlPlane {
    /// Every test also asserts that the journal folds to the server's state.
    #[expect(clippy::panic, reason = "there is no other way to fail a test from here")]
    fn drop(&mut self) {
        let runs = self.process.as_mut().is_some_and(|it| matches!(it.ended(), Ok(None)));
        if !runs || std::thread::panicking() {
            return;
        }
        if let Err(error) = self.replay() {
            panic!("{error:#}");
        }
    }
}
