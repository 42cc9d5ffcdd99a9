//! The last counted report of each filter instance, so that retransmissions are counted once, and so that no instance reports
//! more requests than it can have served since.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::intake::Sender;
use crate::auth::peer::ClientKey;
use tidegate_delivery::units::Timestamp;

/// Filter instances that are tracked, about 100 bytes each.
pub const MAX_SESSIONS: usize = 200_000;
/// Filter instances of one client: an identity, or an address in plaintext.
const MAX_SESSIONS_OF_CLIENT: usize = MAX_SESSIONS / 4;

/// An instance without a report for this time is removed when a limit is reached: a filter retransmits within seconds.
const EXPIRY: Duration = Duration::from_secs(600);
/// Shortest time between two searches for expired instances.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Requests per second that one Envoy worker cannot exceed: more than one core can proxy.
const MAX_REQUEST_RATE: u64 = 250_000;
/// The time for which an instance without an earlier report may have counted: it kept its counts while the control plane was
/// unreachable.
const MAX_BACKLOG: Duration = Duration::from_secs(300);
/// Added to the time since the last report, for reports that were delayed on their way.
const DELAY: Duration = Duration::from_secs(5);

/// A report that is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReport {
    /// [`MAX_SESSIONS`] is reached.
    #[error("{MAX_SESSIONS} filter instances report already; send this report again later")]
    TooManySessions,
    /// The client has its share of the instances.
    #[error(
        "{MAX_SESSIONS_OF_CLIENT} filter instances of this client report already; send this report again later"
    )]
    TooManySessionsOfClient,
    /// More requests than an Envoy worker serves in the time.
    #[error(
        "{requests} requests in {seconds} s; an Envoy worker serves at most {MAX_REQUEST_RATE} per second"
    )]
    ImpossibleCount {
        /// All requests of the report.
        requests: u64,
        /// The time since the last report.
        seconds: u64,
    },
}

/// Whether a report was counted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Not counted yet.
    New,
    /// Counted before.
    Repeated {
        /// The highest sequence number counted.
        acknowledged: u64,
    },
}

/// The last sequence number of each instance.
#[derive(Debug)]
pub struct Sessions {
    seen: DashMap<Sender, Session>,
    /// Instances by client.
    by_client: DashMap<ClientHash, usize>,
    hasher: RandomState,
    swept_ms: AtomicU64,
    limit: usize,
    limit_of_client: usize,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    acknowledged: u64,
    at: Timestamp,
    /// The client of its first report.
    client: ClientHash,
}

/// Keyed hash of a [`ClientKey`]: a session must be small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ClientHash(u64);

impl Default for Sessions {
    fn default() -> Self {
        Self {
            seen: DashMap::new(),
            by_client: DashMap::new(),
            hasher: RandomState::new(),
            swept_ms: AtomicU64::new(0),
            limit: MAX_SESSIONS,
            limit_of_client: MAX_SESSIONS_OF_CLIENT,
        }
    }
}

impl Sessions {
    /// Records the arrival of a report with this number of requests. Of two copies that arrive concurrently exactly one is new.
    ///
    /// # Errors
    /// If a limit is reached and no instance has expired, or if the requests are more than possible.
    pub fn record(
        &self,
        sender: Sender,
        client: &ClientKey,
        sequence: u64,
        requests: u64,
        now: Timestamp,
    ) -> Result<Arrival, RefusedReport> {
        let client = ClientHash(self.hasher.hash_one(client));
        if !self.seen.contains_key(&sender)
            && let Err(refused) = self.has_room(client)
        {
            self.sweep(now);
            self.has_room(client).map_err(|_| refused)?;
        }
        match self.seen.entry(sender) {
            Entry::Vacant(vacant) => {
                check_rate(requests, MAX_BACKLOG)?;
                vacant.insert(Session { acknowledged: sequence, at: now, client });
                *self.by_client.entry(client).or_default() += 1;
                Ok(Arrival::New)
            }
            Entry::Occupied(mut occupied) => {
                let session = occupied.get_mut();
                if sequence <= session.acknowledged {
                    session.at = now;
                    return Ok(Arrival::Repeated { acknowledged: session.acknowledged });
                }
                check_rate(requests, now.since(session.at) + DELAY)?;
                session.at = now;
                session.acknowledged = sequence;
                Ok(Arrival::New)
            }
        }
    }

    fn has_room(&self, client: ClientHash) -> Result<(), RefusedReport> {
        let of_client = self.by_client.get(&client).map_or(0, |count| *count);
        if of_client >= self.limit_of_client {
            return Err(RefusedReport::TooManySessionsOfClient);
        }
        if self.seen.len() >= self.limit {
            return Err(RefusedReport::TooManySessions);
        }
        Ok(())
    }

    /// Removes expired instances, at most once in [`SWEEP_INTERVAL`]: it visits all of them.
    fn sweep(&self, now: Timestamp) {
        let swept = Timestamp(self.swept_ms.swap(now.0, Ordering::Relaxed));
        if swept != Timestamp(0) && now.since(swept) < SWEEP_INTERVAL {
            self.swept_ms.store(swept.0, Ordering::Relaxed);
            return;
        }
        self.seen.retain(|_, session| {
            let keep = now.since(session.at) < EXPIRY;
            if !keep && let Some(mut count) = self.by_client.get_mut(&session.client) {
                *count = count.saturating_sub(1);
            }
            keep
        });
        self.by_client.retain(|_, count| *count > 0);
    }
}

const fn check_rate(requests: u64, time: Duration) -> Result<(), RefusedReport> {
    let seconds = time.as_secs().saturating_add(1);
    if requests > seconds.saturating_mul(MAX_REQUEST_RATE) {
        return Err(RefusedReport::ImpossibleCount { requests, seconds });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(instance: u64) -> Sender {
        Sender { node: "envoy-1".into(), instance }
    }

    fn client(number: u8) -> ClientKey {
        ClientKey::from_address([10, 0, 0, number].into())
    }

    #[test]
    fn a_retransmission_is_recognised() {
        let sessions = Sessions::default();
        let record = |instance, sequence| {
            sessions.record(sender(instance), &client(1), sequence, 1, Timestamp(0))
        };
        assert_eq!(record(1, 1), Ok(Arrival::New));
        assert_eq!(record(1, 1), Ok(Arrival::Repeated { acknowledged: 1 }));
        assert_eq!(record(2, 1), Ok(Arrival::New), "another instance has its own numbers");
        assert_eq!(record(1, 2), Ok(Arrival::New));
        assert_eq!(
            record(1, 1),
            Ok(Arrival::Repeated { acknowledged: 2 }),
            "late and out of order"
        );
    }

    #[test]
    fn the_first_sequence_number_after_a_restart_is_accepted() {
        let sessions = Sessions::default();
        let arrival = sessions.record(sender(1), &client(1), 4_711, 1, Timestamp(0));
        assert_eq!(arrival, Ok(Arrival::New));
    }

    #[test]
    fn expired_instances_are_removed_at_the_limit() {
        let sessions = Sessions { limit: 2, ..Sessions::default() };
        let record =
            |instance, at| sessions.record(sender(instance), &client(1), 1, 1, Timestamp(at));
        assert_eq!(record(1, 1), Ok(Arrival::New));
        assert_eq!(record(2, 500_000), Ok(Arrival::New));
        assert_eq!(record(3, 500_000), Err(RefusedReport::TooManySessions));
        assert_eq!(record(2, 500_000), Ok(Arrival::Repeated { acknowledged: 1 }));
        assert_eq!(record(3, 600_001), Ok(Arrival::New), "1 has expired");
    }

    #[test]
    fn one_client_cannot_use_up_the_table() {
        let sessions = Sessions { limit_of_client: 2, ..Sessions::default() };
        let record = |instance, of: u8, at| {
            sessions.record(sender(instance), &client(of), 1, 1, Timestamp(at))
        };
        assert_eq!(record(1, 1, 1), Ok(Arrival::New));
        assert_eq!(record(2, 1, 1), Ok(Arrival::New));
        assert_eq!(record(3, 1, 1), Err(RefusedReport::TooManySessionsOfClient));
        assert_eq!(record(4, 2, 1), Ok(Arrival::New), "another client has its own share");
        assert_eq!(record(3, 1, 700_000), Ok(Arrival::New), "1 and 2 have expired");
        assert_eq!(sessions.by_client.len(), 1);
    }

    #[test]
    fn more_requests_than_a_worker_serves_are_refused() {
        let sessions = Sessions::default();
        let record = |sequence, requests, at| {
            sessions.record(sender(1), &client(1), sequence, requests, Timestamp(at))
        };
        let impossible =
            |requests, seconds| Err(RefusedReport::ImpossibleCount { requests, seconds });
        assert_eq!(record(1, 100_000_000, 0), impossible(100_000_000, 301));
        assert_eq!(record(1, 70_000_000, 0), Ok(Arrival::New), "after an outage");
        assert_eq!(record(2, 10_000_000, 1_000), impossible(10_000_000, 7));
        assert_eq!(record(2, 1_000_000, 1_000), Ok(Arrival::New));
        assert_eq!(record(3, 70_000_000, 300_000), Ok(Arrival::New), "after another outage");
    }
}
