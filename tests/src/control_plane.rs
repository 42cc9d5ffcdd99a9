//! The `tidegate` binary, as its operators use it: a server that can be killed and started again, its REST interface,
//! and its command line.

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

/// The way an Envoy asks for its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdsMode {
    /// State of the world: each answer is everything of a type.
    Sotw,
    /// Delta: each answer is what changed.
    #[default]
    Delta,
}

impl XdsMode {
    /// As `tidegate envoy bootstrap --mode` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sotw => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// A control plane. It may be down: [`Self::kill9`] leaves what it wrote, and [`Self::restart`] starts it on that.
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

/// What the REST interface said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; null if it is empty.
    pub body: Value,
}

impl ControlPlane {
    /// Starts `tidegate serve` with this configuration, which makes it listen at `xds` and `api`, and waits until it
    /// is ready. Its files go to `dir`.
    ///
    /// # Errors
    /// If it ends or hangs first.
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

    /// Where the sidecars ask.
    #[must_use]
    pub fn xds(&self) -> SocketAddr {
        self.xds
    }

    /// Where its operators ask.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// The process.
    ///
    /// # Errors
    /// If it was killed and not started again.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the control plane is down")
    }

    /// Kills it with -9, and returns when it is gone.
    ///
    /// # Errors
    /// If it was down already, or its journal did not fold to its state.
    pub fn kill9(&mut self) -> Result<()> {
        self.replay()?;
        self.process.take().context("the control plane is down already")?.kill9()
    }

    /// Asks it to stop, as an operator's restart does, and returns how it ended.
    ///
    /// # Errors
    /// If it was down already, or does not stop.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let process = self.process.take().context("the control plane is down already")?;
        process.terminate(wait::PATIENCE).await
    }

    /// Folds its journal anew, and holds the result against what it says that it is at, bit for bit.
    ///
    /// # Errors
    /// If they differ, or it does not answer.
    pub fn replay(&self) -> Result<()> {
        let server = format!("http://{}", self.api);
        let mut command = Command::new(&self.binary);
        command.args(["audit", "replay", "--server", &server, "--data-dir"]);
        let told = command
            .arg(self.dir.join("data"))
            .output()
            .context("cannot run tidegate audit replay")?;
        if !told.status.success() {
            bail!("tidegate audit replay: {}", String::from_utf8_lossy(&told.stderr));
        }
        Ok(())
    }

    /// Starts it (again), on whatever its data directory holds, and waits until it is ready.
    ///
    /// # Errors
    /// If it ends or hangs first.
    pub async fn restart(&mut self) -> Result<()> {
        // The one before must be gone: they would want the same ports.
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

    /// `GET /api/v1/PATH`, as a type.
    ///
    /// # Errors
    /// If the answer is no success, or of another shape.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.ask(Method::GET, path, None).await?;
        if !answer.status.is_success() {
            bail!("GET {path}: {} {}", answer.status, answer.body);
        }
        serde_json::from_value(answer.body).with_context(|| format!("GET {path}"))
    }

    /// `POST /api/v1/PATH` with a JSON body; the answer may be a refusal.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Any call under `/api/v1`; the answer may be a refusal.
    ///
    /// # Errors
    /// If there is no answer, or its body is no JSON.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = self.http.request(method, format!("http://{}/api/v1/{path}", self.api));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Answer { status, body })
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
    /// Whatever a test was about: what its server came to must be what its journal says.
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
