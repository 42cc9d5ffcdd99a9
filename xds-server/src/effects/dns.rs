//! DNS that follows the active environment: whatever records a service should have now, its server
//! is asked for them, updated if it answers otherwise (RFC 2136), and asked again. So a release's
//! rollback, a restart and somebody else's edit are all the same work.
//!
//! What the server answers is told to the controller when that is news.

mod exchange;
mod key;
mod message;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use self::exchange::{Connection, DnsError};
use self::message::Names;
use super::deliver::deliver;
use super::pace::Pace;
use super::under_way::UnderWay;
use crate::clock::Clock;
use crate::controller::Handle;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::dns::{Dns, RecordSet};
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::ServiceName;

/// How often at least the server is asked whether all is still so.
const LOOK: Duration = Duration::from_secs(30);

/// Keeps the records of every service as they should be, until the controller stops.
pub async fn run(controller: Handle, clock: Clock, pace: Pace) {
    let mut view = controller.view();
    let mut under_way = UnderWay::new();
    loop {
        let wanted = wanted(&view.borrow_and_update().state);
        under_way.follow(wanted, |service, wanted| {
            let (controller, clock) = (controller.clone(), clock.clone());
            let keeper = Keeper { controller, service, clock, pace };
            async move { keeper.keep(wanted).await }
        });
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// What one service's name should lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    dns: Dns,
    /// None: nothing can be published of its endpoints.
    records: Option<RecordSet>,
    /// Whether it is still to be said that all is well.
    unconfirmed: bool,
}

fn wanted(state: &State) -> BTreeMap<ServiceName, Wanted> {
    let of = |(name, service): (&ServiceName, &Arc<ServiceState>)| {
        let wanted = Wanted {
            dns: service.spec.dns.clone()?,
            records: service.desired_records(),
            unconfirmed: service.dns_update_pending(),
        };
        Some((name.clone(), wanted))
    };
    state.services.iter().filter_map(of).collect()
}

struct Keeper {
    controller: Handle,
    service: ServiceName,
    clock: Clock,
    pace: Pace,
}

impl Keeper {
    async fn keep(&self, wanted: Wanted) {
        let Wanted { dns, records, mut unconfirmed } = wanted;
        let Some(records) = records else {
            let why = "the version that serves has endpoints without an IP address; \
                       register it with addresses, or give `records`";
            self.tell(Err(why.to_owned())).await;
            return;
        };
        let mut waits = self.pace.endless();
        loop {
            let wait = match follow(&dns, &records, &self.clock).await {
                Ok(repaired) => {
                    debug!(service = %self.service, %records, repaired, "DNS is as it should be");
                    if unconfirmed || repaired {
                        self.tell(Ok(records.clone())).await;
                    }
                    unconfirmed = false;
                    waits = self.pace.endless();
                    LOOK.min(dns.ttl)
                }
                Err(error) => {
                    warn!(service = %self.service, %error, "DNS is not as it should be");
                    self.tell(Err(error.to_string())).await;
                    unconfirmed = true;
                    waits.next().unwrap_or(self.pace.longest)
                }
            };
            sleep(wait).await;
        }
    }

    async fn tell(&self, result: Result<RecordSet, String>) {
        let checked = Command::DnsChecked { service: self.service.clone(), result };
        deliver(&self.controller, "DNS", checked).await;
    }
}

/// Makes the server answer as it should. Says whether it had to be changed.
async fn follow(dns: &Dns, records: &RecordSet, clock: &Clock) -> Result<bool, DnsError> {
    let names = Names::of(dns)?;
    let mut server = Connection::open(dns.server).await?;
    let ttl = u32::try_from(dns.ttl.as_secs()).unwrap_or(u32::MAX);
    if names.found(&mut server).await?.is(records, ttl) {
        return Ok(false);
    }
    let update = names.update(records, ttl)?;
    match &dns.tsig {
        None => server.ask(&update).await?,
        Some(tsig) => server.ask_signed(update, &key::signer(tsig)?, clock.wall()).await?,
    };
    let found = names.found(&mut server).await?;
    if found.is(records, ttl) { Ok(true) } else { Err(DnsError::NotTaken(found.to_string())) }
}
