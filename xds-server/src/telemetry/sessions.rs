//! The last counted report of each filter instance, so retransmissions are counted once.

use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::intake::Sender;
use tidegate_delivery::units::Timestamp;

/// Filter instances that are tracked, about 100 bytes each.
pub const MAX_SESSIONS: usize = 200_000;

/// An instance without a report for this time is removed when the limit is reached: a filter retransmits within seconds.
const EXPIRY: Duration = Duration::from_secs(600);

/// [`MAX_SESSIONS`] is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_SESSIONS} filter instances report already; send this report again later")]
pub struct TooManySessions;

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
    limit: usize,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    acknowledged: u64,
    at: Timestamp,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { seen: DashMap::new(), limit: MAX_SESSIONS }
    }
}

impl Sessions {
    /// Records the arrival of a report. Of two copies that arrive concurrently exactly one is new.
    ///
    /// # Errors
    /// If the limit is reached and no instance has expired.
    pub fn record(
        &self,
        sender: Sender,
        sequence: u64,
        now: Timestamp,
    ) -> Result<Arrival, TooManySessions> {
        if self.seen.len() >= self.limit && !self.seen.contains_key(&sender) {
            self.seen.retain(|_, session| now.since(session.at) < EXPIRY);
            if self.seen.len() >= self.limit {
                return Err(TooManySessions);
            }
        }
        match self.seen.entry(sender) {
            Entry::Vacant(vacant) => {
                vacant.insert(Session { acknowledged: sequence, at: now });
                Ok(Arrival::New)
            }
            Entry::Occupied(mut occupied) => {
                let session = occupied.get_mut();
                session.at = now;
                if sequence <= session.acknowledged {
                    return Ok(Arrival::Repeated { acknowledged: session.acknowledged });
                }
                session.acknowledged = sequence;
                Ok(Arrival::New)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(instance: u64) -> Sender {
        Sender { node: "envoy-1".into(), instance }
    }

    #[test]
    fn a_retransmission_is_recognised() {
        let sessions = Sessions::default();
        let record = |instance, sequence| sessions.record(sender(instance), sequence, Timestamp(0));
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
        assert_eq!(sessions.record(sender(1), 4_711, Timestamp(0)), Ok(Arrival::New));
    }

    #[test]
    fn expired_instances_are_removed_at_the_limit() {
        let sessions = Sessions { limit: 2, ..Sessions::default() };
        let record = |instance, at| sessions.record(sender(instance), 1, Timestamp(at));
        assert_eq!(record(1, 0), Ok(Arrival::New));
        assert_eq!(record(2, 500_000), Ok(Arrival::New));
        assert_eq!(record(3, 500_000), Err(TooManySessions));
        assert_eq!(record(2, 500_000), Ok(Arrival::Repeated { acknowledged: 1 }));
        assert_eq!(record(3, 600_000), Ok(Arrival::New), "1 has expired");
    }
}
