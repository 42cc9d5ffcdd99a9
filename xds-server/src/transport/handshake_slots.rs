//! Slots for TLS handshakes.
//!
//! A handshake costs a thousand times the CPU time of a message. When a whole fleet reconnects, running all handshakes at
//! once would make all of them exceed the clients' timeouts. A limited number runs at a time, in the order of arrival;
//! a waiting connection costs a parked task. A limit for each client leaves slots for the others.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::quota::Limit;
use crate::auth::peer::ClientKey;

/// The slots, with a semaphore in total and one for each client.
#[derive(Debug)]
pub(super) struct HandshakeSlots {
    total: Arc<Semaphore>,
    per_client: usize,
    /// The clients with a running or waiting handshake.
    by_client: DashMap<ClientKey, Arc<Semaphore>>,
}

impl HandshakeSlots {
    pub(super) fn new(limit: Limit) -> Arc<Self> {
        Arc::new(Self {
            total: Arc::new(Semaphore::new(limit.total)),
            per_client: limit.per_client,
            by_client: DashMap::new(),
        })
    }

    /// Waits for a slot. Dropping the value releases it.
    pub(super) async fn acquire(self: &Arc<Self>, client: ClientKey) -> HandshakeSlot {
        let entry = self.entry(client);
        // The client's own semaphore first: a connection that waits for it takes no slot from other clients.
        // `acquire_owned` fails only for a closed semaphore, and these are never closed.
        let of_client = Arc::clone(&entry.semaphore).acquire_owned().await.ok();
        let of_total = Arc::clone(&self.total).acquire_owned().await.ok();
        HandshakeSlot { _permits: [of_client, of_total], _entry: entry }
    }

    /// Finds or creates the client's semaphore. Not async: the guard of the map must not be held over an await.
    fn entry(self: &Arc<Self>, client: ClientKey) -> ClientEntry {
        let create = || Arc::new(Semaphore::new(self.per_client));
        let semaphore = Arc::clone(&self.by_client.entry(client.clone()).or_insert_with(create));
        ClientEntry { slots: Arc::clone(self), client, semaphore }
    }
}

/// A running handshake's slot. Fields drop in this order: the permits before the client's entry.
#[derive(Debug)]
pub(super) struct HandshakeSlot {
    _permits: [Option<OwnedSemaphorePermit>; 2],
    _entry: ClientEntry,
}

/// A use of a client's semaphore. The last one to drop removes it from the map.
#[derive(Debug)]
struct ClientEntry {
    slots: Arc<HandshakeSlots>,
    client: ClientKey,
    semaphore: Arc<Semaphore>,
}

impl Drop for ClientEntry {
    fn drop(&mut self) {
        // Two references are left: the map's and this one.
        let is_last = |_: &_, semaphore: &Arc<_>| Arc::strong_count(semaphore) == 2;
        self.slots.by_client.remove_if(&self.client, is_last);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn at(address: &str) -> ClientKey {
        ClientKey::from_address(address.parse().unwrap())
    }

    #[tokio::test]
    async fn one_client_leaves_slots_for_others_and_its_next_handshake_follows() {
        let slots = HandshakeSlots::new(Limit { total: 3, per_client: 1 });
        let first = slots.acquire(at("10.0.0.1")).await;
        let mut second = Box::pin(slots.acquire(at("10.0.0.1")));
        assert!(second.as_mut().now_or_never().is_none());
        let _other = slots.acquire(at("10.0.0.2")).await;
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn a_cancelled_wait_releases_everything() {
        let slots = HandshakeSlots::new(Limit { total: 1, per_client: 1 });
        let first = slots.acquire(at("10.0.0.1")).await;
        let waiting: Vec<_> = [1, 1, 2]
            .map(|last| Box::pin(slots.acquire(at(&format!("10.0.0.{last}")))))
            .into_iter()
            .map(|mut next| {
                assert!(next.as_mut().now_or_never().is_none());
                next
            })
            .collect();
        drop((waiting, first));
        assert_eq!(slots.by_client.len(), 0);
        slots.acquire(at("10.0.0.3")).await;
    }

    #[tokio::test]
    async fn a_client_without_handshakes_has_no_entry() {
        let slots = HandshakeSlots::new(Limit { total: 2, per_client: 2 });
        let (first, second) = (slots.acquire(at("::1")).await, slots.acquire(at("::1")).await);
        drop(first);
        assert_eq!(slots.by_client.len(), 1);
        drop(second);
        assert_eq!(slots.by_client.len(), 0);
    }
}
