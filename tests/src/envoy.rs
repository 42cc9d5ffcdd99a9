//! A real Envoy, and its admin interface.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::process::Process;
use crate::wait;

/// How an Envoy is started.
#[derive(Clone, Debug)]
pub struct EnvoyOptions {
    /// Worker threads. Some errors of a filter appear only with two or more.
    pub concurrency: u32,
    /// Its `--log-level`.
    pub log_level: String,
}

impl Default for EnvoyOptions {
    fn default() -> Self {
        Self { concurrency: 2, log_level: "info".to_owned() }
    }
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    /// The process.
    pub process: Process,
    admin: SocketAddr,
    http: Client,
}

impl Envoy {
    /// Starts an Envoy whose bootstrap (YAML or JSON) has the admin interface at `admin`. Its files are in `dir`.
    ///
    /// # Errors
    /// If it cannot be started. An invalid bootstrap is an error of [`Self::ready`].
    pub fn start(
        binary: &Path,
        name: &str,
        bootstrap: &str,
        admin: SocketAddr,
        dir: &Path,
        options: &EnvoyOptions,
    ) -> Result<Self> {
        let file = dir.join(format!("{name}.yaml"));
        fs::write(&file, bootstrap).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(binary);
        command.arg("--config-path").arg(&file);
        command.args([
            "--concurrency",
            &options.concurrency.to_string(),
            "--log-level",
            &options.log_level,
        ]);
        // Hot restart would share memory between Envoys with the same base id.
        command.arg("--disable-hot-restart");
        let process = Process::spawn(name, command, dir)?;
        Ok(Self { process, admin, http: wait::http()? })
    }

    /// Address of its admin interface.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits for `/ready`: it has its configuration, and its listeners accept connections.
    ///
    /// # Errors
    /// If it ends first, or is not ready in time.
    pub async fn ready(&mut self) -> Result<()> {
        let (http, url) = (&self.http, format!("http://{}/ready", self.admin));
        let live = async || {
            http.get(&url).send().await.ok().filter(|answer| answer.status().is_success()).map(drop)
        };
        self.process.wait_for("Envoy is ready", live).await
    }

    /// Its configuration, including the resources from xDS.
    ///
    /// # Errors
    /// If the admin interface does not respond.
    pub async fn config_dump(&self) -> Result<Value> {
        self.get("config_dump?include_eds").await
    }

    /// Its clusters with the state of each endpoint.
    ///
    /// # Errors
    /// If the admin interface does not respond.
    pub async fn clusters(&self) -> Result<Value> {
        self.get("clusters?format=json").await
    }

    /// Its counters and gauges whose name matches `filter`, a regular expression.
    ///
    /// # Errors
    /// If the admin interface does not respond.
    pub async fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>> {
        #[derive(Deserialize)]
        struct Answer {
            stats: Vec<Entry>,
        }
        /// The list also contains histograms and text readouts.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Entry {
            Number { name: String, value: u64 },
            Other(serde::de::IgnoredAny),
        }
        let url = reqwest::Url::parse_with_params(
            &self.url("stats"),
            [("format", "json"), ("filter", filter)],
        )?;
        let answer: Answer = self.http.get(url).send().await?.error_for_status()?.json().await?;
        let number = |entry| match entry {
            Entry::Number { name, value } => Some((name, value)),
            Entry::Other(_) => None,
        };
        Ok(answer.stats.into_iter().filter_map(number).collect())
    }

    /// Drains its listeners.
    ///
    /// # Errors
    /// If the admin interface does not respond.
    pub async fn drain(&self) -> Result<()> {
        self.post("drain_listeners?graceful").await
    }

    /// Ends it by `/quitquitquit` and waits for its end.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn quit(mut self) -> Result<ExitStatus> {
        self.post("quitquitquit").await?;
        self.process.wait_for_end(wait::WAIT_LIMIT).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.admin)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.http.get(self.url(path)).send().await?.error_for_status()?.json().await?)
    }

    async fn post(&self, path: &str) -> Result<()> {
        self.http.post(self.url(path)).send().await?.error_for_status()?;
        Ok(())
    }
}
