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
    /// Worker threads. At least two: most mistakes of a filter need a second one to show.
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
    /// The process, to be stopped, continued or killed.
    pub process: Process,
    admin: SocketAddr,
    http: Client,
}

impl Envoy {
    /// Starts an Envoy whose bootstrap, YAML or JSON, puts the admin interface at `admin`. Its files go to `dir`.
    ///
    /// # Errors
    /// If it cannot be started. Whether it likes its bootstrap shows when it [becomes ready](Self::ready).
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
        // Hot restart shares memory between Envoys with the same base id: here they are strangers.
        command.arg("--disable-hot-restart");
        let process = Process::spawn(name, command, dir)?;
        Ok(Self { process, admin, http: wait::http()? })
    }

    /// Where its admin interface is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits until it is live: it has its configuration and its listeners accept.
    ///
    /// # Errors
    /// If it ends or hangs first.
    pub async fn ready(&mut self) -> Result<()> {
        let (http, url) = (&self.http, format!("http://{}/ready", self.admin));
        let live = async || {
            http.get(&url).send().await.ok().filter(|answer| answer.status().is_success()).map(drop)
        };
        self.process.wait_for("Envoy is ready", live).await
    }

    /// Its whole configuration, the parts it got over xDS included.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub async fn config_dump(&self) -> Result<Value> {
        self.get("config_dump?include_eds").await
    }

    /// Its clusters, with the state of each endpoint.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub async fn clusters(&self) -> Result<Value> {
        self.get("clusters?format=json").await
    }

    /// Its counters and gauges whose name matches `filter`, a regular expression.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub async fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>> {
        #[derive(Deserialize)]
        struct Answer {
            stats: Vec<Entry>,
        }
        /// Histograms and text readouts come in the same list, in other shapes.
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

    /// Lets its listeners finish what they have and take nothing new.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub async fn drain(&self) -> Result<()> {
        self.post("drain_listeners?graceful").await
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not.
    pub async fn quit(mut self) -> Result<ExitStatus> {
        self.post("quitquitquit").await?;
        self.process.wait_for_end(wait::PATIENCE).await
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
