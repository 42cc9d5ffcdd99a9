//! The load of one scenario, and the attribution of its failures.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tidegate_demo_app::load::{LoadConfig, LoadGenerator, LoadReport, Snapshot};

use crate::World;
use crate::wait::{WAIT_LIMIT, until};

/// Traffic for one service, through every Envoy in turn.
#[derive(Debug)]
pub struct Traffic {
    /// The running load.
    pub load: LoadGenerator,
    service: String,
}

impl Traffic {
    /// Starts `rate` requests per second by `users` users, and waits for the first response.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn start(world: &World, service: &str, rate: f64, users: u64) -> Result<Self> {
        let config = LoadConfig {
            rate,
            users,
            track_users: true,
            timeout: Duration::from_secs(5),
            ..world.load(service)
        };
        Self::with(service, &config).await
    }

    /// Starts a load, and waits for the first response.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn with(service: &str, config: &LoadConfig) -> Result<Self> {
        let load = LoadGenerator::start(config)?;
        let traffic = Self { load, service: service.to_owned() };
        traffic.until("the first response", |seen| (seen.finished > 0).then_some(())).await?;
        Ok(traffic)
    }

    /// Counts until now.
    #[must_use]
    pub fn seen(&self) -> Snapshot {
        self.load.snapshot()
    }

    /// Resets the versions per user: only requests that are due later count.
    pub fn forget_users(&self) {
        let _forgotten = self.load.take_users();
    }

    /// Waits until `shows` returns a value.
    ///
    /// # Errors
    /// After [`WAIT_LIMIT`].
    pub async fn until<T>(
        &self,
        what: &str,
        mut shows: impl FnMut(&Snapshot) -> Option<T>,
    ) -> Result<T> {
        let what = format!("{} traffic to show {what}", self.service);
        until(&what, WAIT_LIMIT, async || shows(&self.load.snapshot())).await
    }

    /// Waits until `count` more requests have finished.
    ///
    /// # Errors
    /// After [`WAIT_LIMIT`].
    pub async fn more(&self, count: u64) -> Result<()> {
        let enough = self.seen().finished + count;
        self.until("more requests", |seen| (seen.finished >= enough).then_some(())).await
    }

    /// Waits until `count` responses in a row came from one version.
    ///
    /// # Errors
    /// After [`WAIT_LIMIT`].
    pub async fn until_only(&self, version: &str, count: u64) -> Result<()> {
        let mut streak = self.seen();
        self.until(&format!("{count} responses in a row from {version}"), |seen| {
            let others = seen.finished - seen.finished_by(version);
            if others > streak.finished - streak.finished_by(version) {
                streak = seen.clone();
            }
            (seen.finished - streak.finished >= count).then_some(())
        })
        .await
    }

    /// Ends the load. Returns its report, and the number of failed requests that the version `faulty` did not answer.
    ///
    /// # Errors
    /// If there are any: Tidegate or Envoy caused them.
    pub async fn end(self, faulty: Option<&str>) -> Result<(LoadReport, u64)> {
        let report = self.load.stop().await;
        let by_faulty = faulty
            .and_then(|version| report.versions.get(version))
            .map_or(0, |version| version.failed);
        let unexplained =
            report.failed.checked_sub(by_faulty).context("more failures than failures")?;
        if unexplained > 0 {
            let shown = report
                .failures
                .iter()
                .filter(|failure| failure.version.as_deref() != faulty || faulty.is_none())
                .take(10)
                .map(|failure| format!("\n  {failure}"))
                .collect::<String>();
            bail!(
                "{unexplained} {} requests failed that no faulty version answered:{shown}",
                self.service
            );
        }
        Ok((report, unexplained))
    }
}
