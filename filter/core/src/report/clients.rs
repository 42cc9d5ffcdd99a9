//! The clients whose requests failed lately: a client that repeats a failing request, or whose every
//! request fails, is one failure and not fifty.
//!
//! A client enters the set with its first failure. For the [`PERIOD`] that follows, all of its
//! requests are repeated ones, also those that succeed. After that it leaves the set and can fail for
//! the first time again, unless at least half of its requests failed: then the failures have one
//! cause, and it stays for another period.
//!
//! A request without identity has no client: its version is drawn anew for each attempt, so each
//! attempt is independent evidence. The address is no substitute: all requests of an outbound sidecar
//! have the same one.
//!
//! Memory is bounded by [`MAX_CLIENTS`], about 300 kB. Above it the client that entered first leaves
//! early. Its next failure is a first one again at this instance; the server has a set of its own,
//! without this limit, and counts it as repeated.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::bucket::{Murmur3, bucket};

/// A client whose request failed can count as a failed client again after this time.
pub const PERIOD: Duration = Duration::from_secs(300);
/// A request that its client gave up after this time counts as failed, at the earliest.
pub const LEAST_UNANSWERED: Duration = Duration::from_secs(1);
/// Limit of the set.
const MAX_CLIENTS: usize = 8192;

/// A client of a service, during one release or between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    scope: ClientScope,
    number: u32,
}

/// A service in one release, or between two: clients are not compared across them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientScope(u32);

impl ClientScope {
    /// The scope of a service and a release, which is empty between releases.
    #[must_use]
    pub fn new(service: &str, release: &str) -> Self {
        let mut hash = Murmur3::default();
        [service.as_bytes(), &[0], release.as_bytes()].iter().for_each(|part| hash.update(part));
        Self(hash.finish())
    }
}

impl Client {
    /// The client with this identity. `service` is the name of the service.
    #[must_use]
    pub fn new(scope: ClientScope, service: &str, identity: &[u8]) -> Self {
        Self { scope, number: bucket(service.as_bytes(), identity) }
    }

    /// The bucket of the identity under the name of the service, `0..BUCKETS`. Unlike the bucket of
    /// the split it stays the same from release to release, so the server can compare it with
    /// failures before the release.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }
}

/// What a request says about its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The client has not failed lately, and has not failed now.
    Fresh,
    /// The client failed now, and had not lately.
    FirstFailure,
    /// The client had failed lately.
    Repeated,
    /// The same, and the client stays in the set for another period.
    StillFailing,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FailedClients {
    clients: BTreeMap<Client, Failing>,
    /// The clients in the order in which they entered, with the time. Of a client that has entered
    /// again the earlier places are obsolete.
    order: VecDeque<(Client, Duration)>,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Duration,
    failed: u32,
    succeeded: u32,
}

impl Failing {
    const fn new(since: Duration) -> Self {
        Self { since, failed: 1, succeeded: 0 }
    }
}

impl FailedClients {
    /// Adds a request that ended now. `now` is the time since any fixed moment.
    pub(super) fn add(&mut self, client: Client, has_failed: bool, now: Duration) -> Attempt {
        let Some(known) = self.clients.get_mut(&client) else {
            return self.first_failure(client, has_failed, now);
        };
        let is_recent = now.saturating_sub(known.since) < PERIOD;
        let is_failing = known.failed >= known.succeeded;
        if !is_recent && !is_failing {
            self.clients.remove(&client);
            return self.first_failure(client, has_failed, now);
        }
        if has_failed && !is_recent {
            self.enter(client, now);
            return Attempt::StillFailing;
        }
        let count = if has_failed { &mut known.failed } else { &mut known.succeeded };
        *count = count.saturating_add(1);
        Attempt::Repeated
    }

    fn first_failure(&mut self, client: Client, has_failed: bool, now: Duration) -> Attempt {
        if !has_failed {
            return Attempt::Fresh;
        }
        self.enter(client, now);
        Attempt::FirstFailure
    }

    fn enter(&mut self, client: Client, now: Duration) {
        if self.order.len() >= MAX_CLIENTS {
            self.remove_oldest();
        }
        self.order.push_back((client, now));
        self.clients.insert(client, Failing::new(now));
    }

    /// Removes the clients that had no failure in the last two periods.
    pub(super) fn expire(&mut self, now: Duration) {
        let is_old = |&(_, since): &(Client, Duration)| now.saturating_sub(since) >= PERIOD * 2;
        while self.order.front().is_some_and(is_old) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let Some((client, since)) = self.order.pop_front() else { return };
        if self.clients.get(&client).is_some_and(|it| it.since == since) {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(identity: u32) -> Client {
        Client::new(ClientScope::new("order", "order.1"), "order", &identity.to_le_bytes())
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_storm_of_retries_is_one_failure() {
        let mut failed = FailedClients::default();
        assert_eq!(failed.add(client(1), false, s(0)), Attempt::Fresh);
        assert_eq!(failed.add(client(1), true, s(1)), Attempt::FirstFailure);
        for _ in 0..50 {
            assert_eq!(failed.add(client(1), true, s(2)), Attempt::Repeated);
        }
        assert_eq!(failed.add(client(1), false, s(3)), Attempt::Repeated);
        assert_eq!(failed.add(client(2), true, s(3)), Attempt::FirstFailure);
        assert_eq!(failed.add(client(3), false, s(3)), Attempt::Fresh);
    }

    #[test]
    fn a_client_that_failed_once_can_fail_for_the_first_time_again() {
        let mut failed = FailedClients::default();
        failed.add(client(1), true, s(0));
        failed.add(client(1), false, s(1));
        failed.add(client(1), false, s(2));
        assert_eq!(failed.add(client(1), true, s(299)), Attempt::Repeated);
        failed.add(client(1), false, s(299));
        assert_eq!(failed.add(client(1), false, s(300)), Attempt::Fresh);
        assert_eq!(failed.add(client(1), true, s(301)), Attempt::FirstFailure);
    }

    #[test]
    fn a_client_that_always_fails_counts_once() {
        let mut failed = FailedClients::default();
        let attempts: Vec<_> =
            (0..3_600).map(|second| failed.add(client(1), true, s(second))).collect();
        let number = |of| attempts.iter().filter(|it| **it == of).count();
        assert_eq!((number(Attempt::FirstFailure), number(Attempt::StillFailing)), (1, 11));
        assert_eq!(number(Attempt::Fresh), 0);
        failed.expire(s(3_600));
        assert!(failed.order.len() <= 3, "{}", failed.order.len());
        failed.expire(s(10_000));
        assert!(failed.order.is_empty() && failed.clients.is_empty());
    }

    #[test]
    fn the_oldest_clients_make_room() {
        let mut failed = FailedClients::default();
        let clients: Vec<_> = (0..20_000).map(client).collect();
        for client in &clients {
            failed.add(*client, true, s(0));
            assert!(failed.clients.len() <= failed.order.len());
        }
        assert_eq!(failed.order.len(), MAX_CLIENTS);
        assert_eq!(failed.add(clients[19_999], true, s(1)), Attempt::Repeated);
        assert_eq!(failed.add(clients[0], true, s(1)), Attempt::FirstFailure);
    }

    #[test]
    fn releases_and_services_have_clients_of_their_own() {
        let of = |service, release| Client::new(ClientScope::new(service, release), service, b"u");
        assert_ne!(of("order", "order.1"), of("order", "order.2"));
        assert_ne!(of("order", ""), of("product", ""));
        assert_eq!(of("order", "order.1").number(), of("order", "").number());
    }

    proptest! {
        /// Within a period after its first failure no request of a client is evidence, whatever the
        /// others do and however the clock steps.
        #[test]
        fn a_client_has_one_first_failure_in_a_period(
            requests in prop::collection::vec((0_u32..5, any::<bool>(), 0_u64..200), 0..200),
        ) {
            let mut failed = FailedClients::default();
            let mut first = BTreeMap::new();
            let mut now = s(0);
            for (identity, has_failed, seconds) in requests {
                now += s(seconds);
                let was_recent = first.get(&identity).is_some_and(|since| now - *since < PERIOD);
                match failed.add(client(identity), has_failed, now) {
                    Attempt::FirstFailure => {
                        prop_assert!(has_failed && !was_recent);
                        first.insert(identity, now);
                    }
                    Attempt::StillFailing => prop_assert!(has_failed && !was_recent),
                    Attempt::Fresh => prop_assert!(!has_failed && !was_recent),
                    Attempt::Repeated => {}
                }
                failed.expire(now);
            }
        }
    }
}
