//! The clients that failed lately, over all sidecars and threads of a service: a client whose retries arrive at several of
//! them is one failure.
//!
//! Each filter instance reports a client once in [`FAILED_CLIENT_PERIOD`], with its first failure. If another instance has
//! reported it in that time, the failure is a repeated one. A client is the same at every version of the service: when a
//! higher weight moves a client whose every request fails to the candidate, its next failure there is a repeated one.
//!
//! Clients that failed on stable in the ten minutes before a release do not count in it, on either side: this is decided by
//! earlier data, so it prefers no version. If they are the source of more than [`MOST_EXCLUDED`] of the requests, they are not
//! a few clients with a fault of their own, and all count: without them there would be little evidence.
//!
//! Memory: a client that failed takes about two bytes in each minute, in which it is reported; a million clients 128 kB. A
//! service keeps the last eleven minutes of stable, and while a release runs the last six of it, and the clients to exclude:
//! at most 2.3 MB, if a million clients fail in every minute. After a restart both are empty, and a client counts once more.
//!
//! A hostile client with computed identities makes others' failures repeated ones as well, in proportion to its own failed
//! requests: 10 000 of them are 1 % of the clients for six minutes.

use std::collections::VecDeque;

use roaring::RoaringBitmap;
use tidegate_core::config::BUCKETS;
use tidegate_core::histogram::Histogram;
use tidegate_core::report::{FAILED_CLIENT_PERIOD, MAX_LISTED_CLIENTS};
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::units::Timestamp;
use tidegate_proto::report::v1::VersionCounts;

const SLOT_MS: u64 = 60_000;
/// Slots in which a client is a repeated one: the current one and those that cover the period before.
const PERIOD_SLOTS: u64 = FAILED_CLIENT_PERIOD.as_secs() * 1_000 / SLOT_MS + 1;
/// Slots before a release: ten minutes, and the current one.
const SLOTS_BEFORE: u64 = 11;
/// The largest share of the requests that are left out because their clients failed before the release: one of so many.
const MOST_EXCLUDED: u64 = 10;

/// The clients in an entry of a report. Each list is ascending, in `0..BUCKETS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportedClients {
    /// Of errors that are no repeated ones.
    failed: Vec<u32>,
    /// Of abandoned requests that are no repeated ones.
    gave_up: Vec<u32>,
    /// Those that have failed for longer than [`FAILED_CLIENT_PERIOD`].
    failing: Vec<u32>,
}

/// A list of clients that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClients {
    /// More than [`MAX_LISTED_CLIENTS`].
    #[error("{0} clients; at most {MAX_LISTED_CLIENTS} are allowed")]
    TooMany(usize),
    /// Not strictly ascending.
    #[error("client {0} is not above the one before it")]
    Order(u32),
    /// Beyond the last bucket.
    #[error("client {0} is out of range (there are {BUCKETS} buckets)")]
    Range(u32),
    /// More clients than failures.
    #[error("{clients} clients of {failures} failures")]
    MoreThanFailures {
        /// Clients in the list.
        clients: usize,
        /// The failures that they can have.
        failures: u64,
    },
}

impl ReportedClients {
    /// The clients in a message whose histograms are these.
    ///
    /// # Errors
    /// With the name of the invalid list.
    pub fn of(
        counts: &VersionCounts,
        abandoned: &Histogram,
        repeated_abandoned: &Histogram,
    ) -> Result<Self, (&'static str, InvalidClients)> {
        let errors = counts.errors.saturating_sub(counts.repeated_errors);
        let repeated = repeated_abandoned.total();
        let given_up = abandoned.total().saturating_sub(repeated);
        let failing = counts.repeated_errors.saturating_add(repeated);
        let list = |field, clients: &[u32], failures| {
            check(clients, failures).map(|()| clients.to_vec()).map_err(|error| (field, error))
        };
        Ok(Self {
            failed: list("failed_clients", &counts.failed_clients, errors)?,
            gave_up: list("gave_up_clients", &counts.gave_up_clients, given_up)?,
            failing: list("failing_clients", &counts.failing_clients, failing)?,
        })
    }
}

fn check(clients: &[u32], failures: u64) -> Result<(), InvalidClients> {
    if clients.len() > MAX_LISTED_CLIENTS {
        return Err(InvalidClients::TooMany(clients.len()));
    }
    if clients.len() as u64 > failures {
        return Err(InvalidClients::MoreThanFailures { clients: clients.len(), failures });
    }
    let mut least = 0;
    for &client in clients {
        if client >= BUCKETS {
            return Err(InvalidClients::Range(client));
        }
        if client < least {
            return Err(InvalidClients::Order(client));
        }
        least = client + 1;
    }
    Ok(())
}

/// First failures at one filter instance that are none for the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KnownClients {
    pub(super) errors: u64,
    /// Among the abandoned requests.
    pub(super) given_up: u64,
}

/// The clients that failed in the last minutes.
#[derive(Debug, Default)]
struct RecentClients(VecDeque<Slot>);

/// What arrived in one minute.
#[derive(Debug)]
struct Slot {
    number: u64,
    clients: RoaringBitmap,
    /// Requests, and those of clients that had failed.
    repeated: Units,
}

impl RecentClients {
    /// The current slot, after the oldest ones are dropped. Time that steps back does not change it.
    fn current(&mut self, now: Timestamp, keep: u64) -> Option<&mut Slot> {
        let number = now.0 / SLOT_MS;
        while self.0.front().is_some_and(|it| it.number.saturating_add(keep) <= number) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|it| it.number < number) {
            let (clients, repeated) = (RoaringBitmap::new(), Units::default());
            self.0.push_back(Slot { number, clients, repeated });
        }
        self.0.back_mut()
    }

    /// Adds a report; `keep` is the number of slots. Returns what was known, or is in `excluded`.
    fn add(
        &mut self,
        now: Timestamp,
        keep: u64,
        clients: &ReportedClients,
        excluded: &RoaringBitmap,
    ) -> KnownClients {
        let Some(current) = self.current(now, keep) else { return KnownClients::default() };
        let number = current.number;
        current.clients.extend(&clients.failing);
        let mut known = |clients: &[u32]| {
            let is_new =
                |client: &&u32| !excluded.contains(**client) && self.insert(number, **client);
            clients.len() as u64 - clients.iter().filter(is_new).count() as u64
        };
        KnownClients { errors: known(&clients.failed), given_up: known(&clients.gave_up) }
    }

    /// Adds a client to the slot, unless it failed in the period before. Returns whether it was added.
    fn insert(&mut self, slot: u64, client: u32) -> bool {
        let mut recent = self.0.iter().filter(|it| it.number.saturating_add(PERIOD_SLOTS) > slot);
        if recent.any(|it| it.clients.contains(client)) {
            return false;
        }
        self.0.back_mut().is_some_and(|it| it.clients.insert(client))
    }
}

/// The clients that failed on the stable version of a service, also while no release runs.
#[derive(Debug, Default)]
pub(super) struct StableClients(RecentClients);

impl StableClients {
    /// Adds an entry of a report: its requests, those among them that are repeated, and its clients.
    pub(super) fn add(
        &mut self,
        now: Timestamp,
        repeated: Units,
        clients: &ReportedClients,
    ) -> KnownClients {
        if let Some(current) = self.0.current(now, SLOTS_BEFORE) {
            current.repeated = current.repeated.plus(repeated);
        }
        self.0.add(now, SLOTS_BEFORE, clients, &RoaringBitmap::new())
    }

    /// The clients of a release that starts now.
    pub(super) fn begin_release(&self) -> ReleaseClients {
        let slots = &self.0.0;
        let Units { bad, all } =
            slots.iter().fold(Units::default(), |sum, it| sum.plus(it.repeated));
        let mut excluded = RoaringBitmap::new();
        if bad.saturating_mul(MOST_EXCLUDED) <= all {
            slots.iter().for_each(|it| excluded |= &it.clients);
        }
        ReleaseClients { excluded, recent: RecentClients::default() }
    }
}

/// The clients that failed in a release, on any version.
#[derive(Debug, Default)]
pub(super) struct ReleaseClients {
    /// They failed before it.
    excluded: RoaringBitmap,
    recent: RecentClients,
}

impl ReleaseClients {
    /// Adds an entry of a report.
    pub(super) fn add(&mut self, now: Timestamp, clients: &ReportedClients) -> KnownClients {
        self.recent.add(now, PERIOD_SLOTS, clients, &self.excluded)
    }
}

#[cfg(test)]
mod tests;
