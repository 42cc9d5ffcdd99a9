//! An operator's actions: commands by the CLI, reads by the REST API.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tidegate_delivery::model::release::RollbackCause;

use crate::control_plane::ControlPlane;
use crate::wait::{WAIT_LIMIT, until};

/// Runs commands and reads state.
#[derive(Debug, Clone, Copy)]
pub struct Operator<'a> {
    control: &'a ControlPlane,
}

/// Phase of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// 0 %, before the first step.
    Preparing,
    /// On a step below 100 %.
    Stepping,
    /// At 100 %, within the watch period.
    Watching,
    Completed,
    RolledBack,
}

/// The part of a release that scenarios assert on.
#[derive(Debug, Clone)]
pub struct ReleaseView {
    /// `SERVICE.NUMBER`.
    pub id: String,
    /// Its phase.
    pub phase: Phase,
    /// The candidate's share, 0 to 1.
    pub weight: f64,
    /// Whether every connected sidecar has ACKed the current configuration.
    pub converged: bool,
    /// The cause of its rollback.
    pub cause: Option<String>,
}

impl ReleaseView {
    /// True until it completes or is rolled back.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Completed | Phase::RolledBack)
    }
}

#[derive(Deserialize)]
struct Service {
    stable: String,
    release: Option<Release>,
}

#[derive(Deserialize)]
struct Release {
    id: String,
    phase: Phase,
    weight_percent: f64,
    cause: Option<RollbackCause>,
    progress: Option<Progress>,
}

#[derive(Deserialize)]
struct Progress {
    convergence: Convergence,
}

#[derive(Deserialize)]
struct Convergence {
    acked: u32,
    connected: u32,
}

impl From<Release> for ReleaseView {
    fn from(release: Release) -> Self {
        let converged = release
            .progress
            .map(|progress| progress.convergence)
            .is_some_and(|seen| seen.connected > 0 && seen.acked >= seen.connected);
        Self {
            id: release.id,
            phase: release.phase,
            weight: release.weight_percent / 100.0,
            converged,
            cause: release.cause.map(|cause| cause.to_string()),
        }
    }
}

impl<'a> Operator<'a> {
    /// An operator of this control plane.
    #[must_use]
    pub const fn new(control: &'a ControlPlane) -> Self {
        Self { control }
    }

    /// Runs a command, and returns what it printed.
    ///
    /// # Errors
    /// If it failed, with what it printed.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.control.cli(args).await?;
        if !output.status.success() {
            bail!("tidegate {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn service(&self, service: &str) -> Result<Service> {
        self.control.get(&format!("services/{service}")).await
    }

    /// A service's stable version.
    ///
    /// # Errors
    /// If there is no such service.
    pub async fn stable(&self, service: &str) -> Result<String> {
        Ok(self.service(service).await?.stable)
    }

    /// A service's newest release.
    ///
    /// # Errors
    /// If there is none.
    pub async fn release(&self, service: &str) -> Result<ReleaseView> {
        let release = self.service(service).await?.release;
        release.map(ReleaseView::from).with_context(|| format!("{service} has no release"))
    }

    /// Waits until the newest release satisfies a condition.
    ///
    /// # Errors
    /// After [`WAIT_LIMIT`], or if it is rolled back first. The error contains the release.
    pub async fn until(
        &self,
        service: &str,
        expected: impl Fn(&ReleaseView) -> bool,
    ) -> Result<ReleaseView> {
        let what = format!("the release of {service}");
        let arrived = until(&what, WAIT_LIMIT, async || {
            let release = self.release(service).await.ok()?;
            (expected(&release) || release.phase == Phase::RolledBack).then_some(release)
        });
        match arrived.await {
            Ok(release) if expected(&release) => Ok(release),
            Ok(release) => bail!("the release of {service} was rolled back: {:?}", release.cause),
            Err(error) => Err(error.context(format!("it is at {:?}", self.release(service).await))),
        }
    }
}
