//! The ledger of all sidecars.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::node::{Node, NodeStatus, Stream};
use crate::clock::Clock;
use crate::delivery::names::FleetName;
use crate::delivery::progress::Convergence;
use crate::xds::kind::Mode;
use crate::xds::protocol::Event;

/// How many sidecars that left are remembered. Node ids are the clients' own words: without a
/// bound they could fill the memory.
const MAX_GONE: usize = 100;

/// A sidecar's name: what Envoy says in `node.cluster` and `node.id`.
type Key = (FleetName, Arc<str>);

/// Who is connected, who acknowledged what, who refused what.
#[derive(Debug)]
pub struct Ledger {
    nodes: DashMap<Key, Node>,
    gone: Mutex<VecDeque<NodeStatus>>,
    changes: watch::Sender<u64>,
    next_stream: AtomicU64,
    clock: Clock,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            nodes: DashMap::new(),
            gone: Mutex::default(),
            changes: watch::Sender::new(0),
            next_stream: AtomicU64::new(0),
            clock,
        })
    }

    /// Notes that a sidecar opened a stream. It counts as connected until the value is dropped.
    #[must_use]
    pub fn connect(self: &Arc<Self>, fleet: FleetName, node: &str, mode: Mode) -> Connection {
        let id = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let key = (fleet, Arc::from(node));
        self.gone
            .lock()
            .retain(|gone| (&gone.fleet, &*gone.node) != (&key.0, &*key.1));
        let stream = Stream::new(id, mode, self.clock.now());
        let mut known = self.nodes.entry(key.clone()).or_default();
        known.streams.push(stream);
        drop(known);
        self.notify();
        Connection {
            ledger: Arc::clone(self),
            key,
            id,
            synced: 0,
        }
    }

    /// How many of the connected sidecars have answered a publication in full.
    #[must_use]
    pub fn convergence(&self, serial: u64) -> Convergence {
        let mut convergence = Convergence::default();
        for node in &self.nodes {
            convergence.connected += 1;
            convergence.acked += u32::from(node.synced() >= serial);
        }
        convergence
    }

    /// Every sidecar that is connected or left lately, by fleet and name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let connected = self.nodes.iter();
        let mut nodes: Vec<NodeStatus> = connected
            .filter_map(|node| node.status(&node.key().0, &node.key().1))
            .collect();
        nodes.extend(self.gone.lock().iter().cloned());
        nodes.sort_by(|a, b| (&a.fleet, &a.node).cmp(&(&b.fleet, &b.node)));
        nodes
    }

    /// Wakes whenever a sidecar came further, came or left. The value only counts.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn notify(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn disconnect(&self, key: &Key, id: u64) {
        let Entry::Occupied(mut node) = self.nodes.entry(key.clone()) else {
            return;
        };
        let last = node.get().status(&key.0, &key.1);
        node.get_mut().streams.retain(|stream| stream.id != id);
        if node.get().streams.is_empty() {
            node.remove();
            let mut gone = self.gone.lock();
            if gone.len() >= MAX_GONE {
                gone.pop_front();
            }
            gone.extend(last.map(|status| NodeStatus {
                connected: false,
                since: self.clock.now(),
                ..status
            }));
        }
        self.notify();
    }
}

/// One stream's entry in the ledger, for as long as the stream lives.
#[derive(Debug)]
pub struct Connection {
    ledger: Arc<Ledger>,
    key: Key,
    id: u64,
    synced: u64,
}

impl Connection {
    /// Notes what became known of the client, and how far it is.
    pub fn record(&mut self, events: impl Iterator<Item = Event>, synced: u64) {
        let mut events = events.peekable();
        if events.peek().is_none() && synced == self.synced {
            return;
        }
        self.synced = synced;
        let now = self.ledger.clock.now();
        let mut further = false;
        if let Some(mut node) = self.ledger.nodes.get_mut(&self.key) {
            let mut streams = node.streams.iter_mut();
            if let Some(stream) = streams.find(|stream| stream.id == self.id) {
                events.for_each(|event| stream.record(event, now));
                further = stream.advance(synced);
            }
        }
        if further {
            self.ledger.notify();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.ledger.disconnect(&self.key, self.id);
    }
}
