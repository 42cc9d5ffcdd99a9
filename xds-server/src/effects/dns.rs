//! Dynamic DNS updates (RFC 2136): the records of a service follow its active environment.
//!
//! The server is queried at an interval and updated when its answer differs from the wanted records. Releases, rollbacks,
//! restarts and edits by others are handled alike. The result is submitted to the controller when it changes.

mod client;
mod key;
mod records;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use self::client::{DnsClient, DnsError};
use self::records::RecordName;
use super::backoff::Backoff;
use super::keyed_tasks::KeyedTasks;
use super::submit::submit;
use super::supervisor::{Supervisor, Task};
use crate::clock::Clock;
use crate::controller::Handle;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::dns::{Dns, RecordSet};
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::ServiceName;

/// Upper bound of the interval between two checks of a server; a smaller TTL shortens it.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Updates the records of all services until the controller stops.
pub async fn run(controller: Handle, clock: Clock, backoff: Backoff, supervisor: Supervisor) {
    let updater = DnsUpdater { controller: controller.clone(), clock, backoff };
    let start = || update_services(updater.clone(), supervisor.clone());
    supervisor.run_until_stopped(Task::Dns, &controller, start).await;
}

async fn update_services(updater: DnsUpdater, supervisor: Supervisor) {
    let mut view = updater.controller.view();
    let update = move |service: ServiceName, wanted: WantedRecords| {
        let updater = updater.clone();
        async move { updater.keep_updated(&service, wanted).await }
    };
    let mut tasks = KeyedTasks::new(Task::Dns, supervisor, update);
    loop {
        let wanted = wanted_records(&view.borrow_and_update().state);
        tasks.update(wanted);
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// The records that the name of one service should have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WantedRecords {
    dns: Dns,
    /// None: the endpoints of the active version have no IP addresses.
    records: Option<RecordSet>,
    /// Whether the controller waits for a confirmation of these records.
    unconfirmed: bool,
}

fn wanted_records(state: &State) -> BTreeMap<ServiceName, WantedRecords> {
    let of = |(name, service): (&ServiceName, &Arc<ServiceState>)| {
        let wanted = WantedRecords {
            dns: service.spec.dns.clone()?,
            records: service.desired_records(),
            unconfirmed: service.dns_update_pending(),
        };
        Some((name.clone(), wanted))
    };
    state.services.iter().filter_map(of).collect()
}

#[derive(Clone)]
struct DnsUpdater {
    controller: Handle,
    clock: Clock,
    backoff: Backoff,
}

impl DnsUpdater {
    async fn keep_updated(&self, service: &ServiceName, wanted: WantedRecords) {
        let WantedRecords { dns, records, mut unconfirmed } = wanted;
        let Some(records) = records else {
            let error = "the active version has endpoints without an IP address; \
                         register it with IP addresses, or set `records`";
            self.submit(service, Err(error.to_owned())).await;
            return;
        };
        let mut delays = self.backoff.unlimited();
        loop {
            let delay = match check_and_update(&dns, &records, &self.clock).await {
                Ok(updated) => {
                    debug!(%service, %records, updated, "DNS records are up to date");
                    if unconfirmed || updated {
                        self.submit(service, Ok(records.clone())).await;
                    }
                    unconfirmed = false;
                    delays = self.backoff.unlimited();
                    CHECK_INTERVAL.min(dns.ttl)
                }
                Err(error) => {
                    warn!(%service, %error, "DNS check or update failed; retrying");
                    self.submit(service, Err(error.to_string())).await;
                    unconfirmed = true;
                    delays.next().unwrap_or(self.backoff.max)
                }
            };
            sleep(delay).await;
        }
    }

    async fn submit(&self, service: &ServiceName, result: Result<RecordSet, String>) {
        let checked = Command::DnsChecked { service: service.clone(), result };
        submit(&self.controller, "DNS", checked).await;
    }
}

/// Queries the records, and updates them if they differ. Returns whether they were updated.
async fn check_and_update(dns: &Dns, records: &RecordSet, clock: &Clock) -> Result<bool, DnsError> {
    let name = RecordName::of(dns)?;
    let mut server = DnsClient::connect(dns.server).await?;
    let ttl = u32::try_from(dns.ttl.as_secs()).unwrap_or(u32::MAX);
    if name.query(&mut server).await?.equals(records, ttl) {
        return Ok(false);
    }
    let update = name.update(records, ttl)?;
    match &dns.tsig {
        None => server.send(&update).await?,
        Some(tsig) => server.send_signed(update, &key::signer(tsig)?, clock.wall()).await?,
    };
    let current = name.query(&mut server).await?;
    if current.equals(records, ttl) {
        Ok(true)
    } else {
        Err(DnsError::NotApplied(current.to_string()))
    }
}
