//! Health checks of the instances of candidates that are being prepared.
//!
//! The checks are repeated until the candidate receives traffic. An unhealthy instance blocks its release and is named
//! in the blocker. It never rolls a release back: an instance that is still starting is no evidence against a version.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::{Client, redirect};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::keyed_tasks::KeyedTasks;
use super::submit::submit;
use super::supervisor::{Supervisor, Task};
use crate::controller::Handle;
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::failure::RequestFailure;
use tidegate_delivery::model::health::{InstanceHealth, UnhealthyInstance};
use tidegate_delivery::model::plan::HealthCheck;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::ReleaseId;

/// Checks in flight, per release.
const CONCURRENCY: usize = 16;

/// Interval and timeout of the checks.
#[derive(Debug, Clone, Copy)]
pub struct CheckTiming {
    /// Delay between two rounds of checks.
    pub interval: Duration,
    /// Timeout of one check.
    pub timeout: Duration,
}

impl Default for CheckTiming {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), timeout: Duration::from_secs(2) }
    }
}

/// Checks instances until the controller stops.
///
/// # Errors
/// If the HTTP client cannot be built.
pub async fn run(
    controller: Handle,
    timing: CheckTiming,
    supervisor: Supervisor,
) -> Result<(), reqwest::Error> {
    let client = Client::builder()
        .timeout(timing.timeout)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()?;
    let checker = HealthChecker { controller: controller.clone(), client, timing };
    let start = || check_candidates(checker.clone(), supervisor.clone());
    supervisor.run_until_stopped(Task::HealthChecks, &controller, start).await;
    Ok(())
}

async fn check_candidates(checker: HealthChecker, supervisor: Supervisor) {
    let mut view = checker.controller.view();
    let check = move |release: ReleaseId, instances: CheckedInstances| {
        let checker = checker.clone();
        async move { checker.check_repeatedly(&release, &instances).await }
    };
    let mut tasks = KeyedTasks::new(Task::HealthChecks, supervisor, check);
    loop {
        let wanted = wanted(&view.borrow_and_update().state);
        tasks.update(wanted);
        if view.changed().await.is_err() {
            return;
        }
    }
}

fn wanted(state: &State) -> BTreeMap<ReleaseId, CheckedInstances> {
    state.services.values().filter_map(|service| CheckedInstances::of(service)).collect()
}

/// The instances of one candidate, and their check.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CheckedInstances {
    check: HealthCheck,
    host: Option<String>,
    endpoints: Vec<Endpoint>,
}

impl CheckedInstances {
    fn of(service: &ServiceState) -> Option<(ReleaseId, Self)> {
        let release = service.running()?;
        let check = release.health_check()?.clone();
        let endpoints = service.spec.versions.get(&release.candidate)?.endpoints.clone();
        let host = service.spec.hosts.first().map(ToString::to_string);
        Some((release.id.clone(), Self { check, host, endpoints }))
    }
}

#[derive(Clone)]
struct HealthChecker {
    controller: Handle,
    client: Client,
    timing: CheckTiming,
}

impl HealthChecker {
    /// Submits the health after the first round, and whenever it changes.
    async fn check_repeatedly(&self, release: &ReleaseId, instances: &CheckedInstances) {
        let mut submitted = None;
        loop {
            let health = self.check_all(instances).await;
            if submitted.as_ref() != Some(&health) {
                let command =
                    Command::HealthChecked { release: release.clone(), health: health.clone() };
                submit(&self.controller, "health", command).await;
                submitted = Some(health);
            }
            sleep(self.timing.interval).await;
        }
    }

    async fn check_all(&self, instances: &CheckedInstances) -> InstanceHealth {
        let check = |endpoint: Endpoint| async move {
            let result = self.check(instances, &endpoint).await;
            let endpoint = endpoint.to_string();
            result.err().map(|failure| UnhealthyInstance { endpoint, failure })
        };
        // In order: the same health has the same text.
        let checks = stream::iter(instances.endpoints.clone()).map(check).buffered(CONCURRENCY);
        InstanceHealth::of(checks.filter_map(std::future::ready).collect().await)
    }

    async fn check(
        &self,
        instances: &CheckedInstances,
        endpoint: &Endpoint,
    ) -> Result<(), RequestFailure> {
        let HealthCheck::Http(path) = &instances.check else {
            let connect = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
            return match timeout(self.timing.timeout, connect).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(RequestFailure::transport(&error.kind().to_string())),
                Err(_) => Err(RequestFailure::Timeout),
            };
        };
        let mut request = self.client.get(format!("http://{endpoint}{path}"));
        if let Some(host) = &instances.host {
            request = request.header(reqwest::header::HOST, host);
        }
        match request.send().await {
            Ok(response) if response.status() == 200 => Ok(()),
            Ok(response) => {
                let status = response.status().as_u16();
                Err(RequestFailure::UnexpectedStatus { status, expected: 200 })
            }
            Err(error) if error.is_timeout() => Err(RequestFailure::Timeout),
            Err(error) if error.is_connect() => Err(RequestFailure::transport("connection failed")),
            Err(_) => Err(RequestFailure::transport("invalid response")),
        }
    }
}
