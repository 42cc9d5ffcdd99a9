//! Which report of which filter instance was counted last, so that none is counted twice.

use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::intake::Sender;
use tidegate_delivery::units::Timestamp;

/// Filter instances that are remembered. One is about 100 bytes.
pub const MAX_SESSIONS: usize = 200_000;

/// An instance that was silent for longer may be forgotten: its Envoy is gone, or would have
/// resent long since.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// No room for another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_SESSIONS} filter instances report already; send the same report again later")]
pub struct Full;

/// What a report's number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Not counted yet.
    New,
    /// Counted before.
    Repeated {
        /// The highest number that was counted.
        acknowledged: u64,
    },
}

/// The last number of each instance.
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
    /// Notes a report's arrival. Two copies that arrive together are told apart: one is new.
    ///
    /// # Errors
    /// When too many instances are remembered, all of them heard from lately.
    pub fn arrive(&self, sender: Sender, sequence: u64, now: Timestamp) -> Result<Arrival, Full> {
        if self.seen.len() >= self.limit && !self.seen.contains_key(&sender) {
            self.seen.retain(|_, session| now.since(session.at) < FORGOTTEN_AFTER);
            if self.seen.len() >= self.limit {
                return Err(Full);
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
    fn a_repeat_is_known() {
        let sessions = Sessions::default();
        let arrive = |instance, sequence| sessions.arrive(sender(instance), sequence, Timestamp(0));
        assert_eq!(arrive(1, 1), Ok(Arrival::New));
        assert_eq!(arrive(1, 1), Ok(Arrival::Repeated { acknowledged: 1 }));
        assert_eq!(arrive(2, 1), Ok(Arrival::New), "another instance has its own numbers");
        assert_eq!(arrive(1, 2), Ok(Arrival::New));
        assert_eq!(
            arrive(1, 1),
            Ok(Arrival::Repeated { acknowledged: 2 }),
            "late and out of order"
        );
    }

    #[test]
    fn a_server_that_restarted_takes_numbers_as_they_come() {
        let sessions = Sessions::default();
        assert_eq!(sessions.arrive(sender(1), 4_711, Timestamp(0)), Ok(Arrival::New));
    }

    #[test]
    fn the_silent_make_room() {
        let sessions = Sessions { limit: 2, ..Sessions::default() };
        let arrive = |instance, at| sessions.arrive(sender(instance), 1, Timestamp(at));
        assert_eq!(arrive(1, 0), Ok(Arrival::New));
        assert_eq!(arrive(2, 500_000), Ok(Arrival::New));
        assert_eq!(arrive(3, 500_000), Err(Full));
        assert_eq!(arrive(2, 500_000), Ok(Arrival::Repeated { acknowledged: 1 }));
        assert_eq!(arrive(3, 600_000), Ok(Arrival::New), "1 was silent for ten minutes");
    }
}
