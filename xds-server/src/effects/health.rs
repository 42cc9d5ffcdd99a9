//! Looks at the instances of candidates that are being prepared, again and again until they get
//! traffic: one that is not well holds its release, and is named. It sends nothing back, because an
//! instance that still starts is no bad version.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::{Client, redirect};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::deliver::deliver;
use super::under_way::UnderWay;
use crate::controller::Handle;
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::failure::RequestFailure;
use tidegate_delivery::model::health::{InstanceHealth, UnhealthyInstance};
use tidegate_delivery::model::plan::HealthCheck;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::ReleaseId;

/// Instances asked at a time, of one release.
const CONCURRENCY: usize = 16;

/// How often it looks, and how long an instance may take to answer.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    /// Between two looks.
    pub every: Duration,
    /// For one answer.
    pub timeout: Duration,
}

impl Default for Interval {
    fn default() -> Self {
        Self { every: Duration::from_secs(1), timeout: Duration::from_secs(2) }
    }
}

/// Looks until the controller stops.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn run(controller: Handle, interval: Interval) -> Result<(), reqwest::Error> {
    let client = Client::builder()
        .timeout(interval.timeout)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()?;
    let mut view = controller.view();
    let mut under_way = UnderWay::new();
    loop {
        let wanted = wanted(&view.borrow_and_update().state);
        under_way.follow(wanted, |id, patient| {
            let (controller, client) = (controller.clone(), client.clone());
            async move { patient.watch(&controller, &id, &client, interval).await }
        });
        if view.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// The candidates that are to be looked at.
fn wanted(state: &State) -> BTreeMap<ReleaseId, Patient> {
    state.services.values().filter_map(|service| Patient::of(service)).collect()
}

/// One candidate, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Patient {
    check: HealthCheck,
    host: Option<String>,
    endpoints: Vec<Endpoint>,
}

impl Patient {
    fn of(service: &ServiceState) -> Option<(ReleaseId, Self)> {
        let release = service.running()?;
        let check = release.health_check()?.clone();
        let endpoints = service.spec.versions.get(&release.candidate)?.endpoints.clone();
        let host = service.spec.hosts.first().cloned();
        Some((release.id.clone(), Self { check, host, endpoints }))
    }

    /// Looks again and again, and tells what is new.
    async fn watch(&self, controller: &Handle, id: &ReleaseId, client: &Client, every: Interval) {
        let mut told = None;
        loop {
            let health = self.look(client, every.timeout).await;
            if told.as_ref() != Some(&health) {
                let release = id.clone();
                let command = Command::HealthChecked { release, health: health.clone() };
                deliver(controller, "health", command).await;
                told = Some(health);
            }
            sleep(every.every).await;
        }
    }

    async fn look(&self, client: &Client, patience: Duration) -> InstanceHealth {
        let look = |endpoint: Endpoint| async move {
            let well = self.ask(&endpoint, client, patience).await;
            let endpoint = endpoint.to_string();
            well.err().map(|failure| UnhealthyInstance { endpoint, failure })
        };
        // In order, so that the same state of things is told in the same words.
        let looks = stream::iter(self.endpoints.clone()).map(look).buffered(CONCURRENCY);
        InstanceHealth::of(looks.filter_map(std::future::ready).collect().await)
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        client: &Client,
        patience: Duration,
    ) -> Result<(), RequestFailure> {
        let HealthCheck::Http(path) = &self.check else {
            let connect = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
            return match timeout(patience, connect).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(RequestFailure::transport(&error.kind().to_string())),
                Err(_) => Err(RequestFailure::Timeout),
            };
        };
        let mut request = client.get(format!("http://{endpoint}{path}"));
        if let Some(host) = &self.host {
            request = request.header(reqwest::header::HOST, host);
        }
        match request.send().await {
            Ok(answer) if answer.status() == 200 => Ok(()),
            Ok(answer) => {
                let status = answer.status().as_u16();
                Err(RequestFailure::UnexpectedStatus { status, expected: 200 })
            }
            Err(error) if error.is_timeout() => Err(RequestFailure::Timeout),
            Err(error) if error.is_connect() => Err(RequestFailure::transport("no connection")),
            Err(_) => Err(RequestFailure::transport("no response")),
        }
    }
}
