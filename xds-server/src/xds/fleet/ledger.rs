//! The ledger of all sidecars.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, VecDeque};
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
    /// How many of the nodes have reached which publication. The controller asks many times
    /// during each push, and must not walk through thousands of nodes. Locked under a node's own
    /// lock, never the other way round.
    reached: Mutex<BTreeMap<u64, u32>>,
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
            reached: Mutex::default(),
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
        self.gone.lock().retain(|gone| (&gone.fleet, &*gone.node) != (&key.0, &*key.1));
        let stream = Stream::new(id, mode, self.clock.now());
        let mut known = self.nodes.entry(key.clone()).or_default();
        let before = known.synced();
        known.streams.push(stream);
        self.moved(before, known.synced());
        drop(known);
        self.notify();
        Connection { ledger: Arc::clone(self), key, id, synced: 0 }
    }

    /// How many of the connected sidecars have answered a publication in full.
    #[must_use]
    pub fn convergence(&self, serial: u64) -> Convergence {
        let reached = self.reached.lock();
        Convergence {
            connected: reached.values().sum(),
            acked: reached.range(serial..).map(|(_, nodes)| nodes).sum(),
        }
    }

    /// Every sidecar that is connected or left lately, by fleet and name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let connected = self.nodes.iter();
        let mut nodes: Vec<NodeStatus> =
            connected.filter_map(|node| node.status(&node.key().0, &node.key().1)).collect();
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
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Notes that a node went from one publication to another, came, or left.
    fn moved(&self, from: Option<u64>, to: Option<u64>) {
        if from == to {
            return;
        }
        let mut reached = self.reached.lock();
        if let Some(from) = from
            && let MapEntry::Occupied(mut nodes) = reached.entry(from)
        {
            *nodes.get_mut() -= 1;
            if *nodes.get() == 0 {
                nodes.remove();
            }
        }
        if let Some(to) = to {
            *reached.entry(to).or_default() += 1;
        }
    }

    fn disconnect(&self, key: &Key, id: u64) {
        let Entry::Occupied(mut node) = self.nodes.entry(key.clone()) else {
            return;
        };
        let last = node.get().status(&key.0, &key.1);
        let before = node.get().synced();
        node.get_mut().streams.retain(|stream| stream.id != id);
        self.moved(before, node.get().synced());
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
            let before = node.synced();
            let mut streams = node.streams.iter_mut();
            if let Some(stream) = streams.find(|stream| stream.id == self.id) {
                events.for_each(|event| stream.record(event, now));
                further = stream.advance(synced);
            }
            self.ledger.moved(before, node.synced());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::units::Timestamp;
    use crate::xds::kind::Kind;

    fn ledger() -> Arc<Ledger> {
        Ledger::new(Clock::new(|| Timestamp(7)))
    }

    fn connect(ledger: &Arc<Ledger>, node: &str) -> Connection {
        ledger.connect("demo".parse().unwrap(), node, Mode::Delta)
    }

    fn acked_of(ledger: &Ledger, serial: u64) -> (u32, u32) {
        let convergence = ledger.convergence(serial);
        (convergence.acked, convergence.connected)
    }

    #[test]
    fn convergence_counts_who_is_connected_and_has_it() {
        let ledger = ledger();
        assert_eq!(acked_of(&ledger, 1), (0, 0));
        let mut one = connect(&ledger, "one");
        let two = connect(&ledger, "two");
        one.record(std::iter::empty(), 3);
        assert_eq!(acked_of(&ledger, 3), (1, 2));
        assert_eq!(acked_of(&ledger, 4), (0, 2));
        drop(two);
        assert_eq!(acked_of(&ledger, 3), (1, 1));
    }

    /// With a stream for each type a sidecar has a publication when all of them have.
    #[test]
    fn a_sidecar_is_as_far_as_its_slowest_stream() {
        let ledger = ledger();
        let mut clusters = connect(&ledger, "one");
        let mut routes = connect(&ledger, "one");
        clusters.record(std::iter::empty(), 2);
        assert_eq!(acked_of(&ledger, 2), (0, 1));
        routes.record(std::iter::empty(), 2);
        assert_eq!(acked_of(&ledger, 2), (1, 1));
    }

    #[test]
    fn a_slow_stream_that_leaves_holds_its_sidecar_back_no_more() {
        let ledger = ledger();
        let mut clusters = connect(&ledger, "one");
        let routes = connect(&ledger, "one");
        clusters.record(std::iter::empty(), 2);
        drop(routes);
        assert_eq!(acked_of(&ledger, 2), (1, 1));
        drop(clusters);
        assert_eq!(acked_of(&ledger, 2), (0, 0));
        assert!(ledger.reached.lock().is_empty(), "what left is forgotten");
    }

    #[test]
    fn a_refusal_is_shown_until_it_is_cleared() {
        let ledger = ledger();
        let mut one = connect(&ledger, "one");
        let nacked =
            Event::Nacked { kind: Kind::Route, version: "v".into(), message: "bad".to_owned() };
        one.record([nacked].into_iter(), 0);
        let refused = ledger.nodes().remove(0).refused;
        assert_eq!(refused[&Kind::Route].message, "bad");
        assert_eq!(refused[&Kind::Route].at, Timestamp(7));
        let acked = Event::Acked { kind: Kind::Route, version: "w".into() };
        one.record([acked, Event::Cleared { kind: Kind::Route }].into_iter(), 1);
        let status = ledger.nodes().remove(0);
        assert!(status.refused.is_empty());
        assert_eq!(status.acked[&Kind::Route], "w");
    }

    /// Checklist line 56: what is known of a sidecar goes with its last stream, but for a bounded
    /// list of those that left lately.
    #[test]
    fn the_gone_are_remembered_for_a_while() {
        let ledger = ledger();
        for node in 0..MAX_GONE + 5 {
            drop(connect(&ledger, &node.to_string()));
        }
        let nodes = ledger.nodes();
        assert_eq!(nodes.len(), MAX_GONE);
        assert!(nodes.iter().all(|node| !node.connected));
        let back = connect(&ledger, &nodes[0].node);
        let nodes = ledger.nodes();
        assert_eq!(nodes.iter().filter(|node| node.connected).count(), 1);
        assert_eq!(nodes.len(), MAX_GONE);
        drop(back);
    }

    #[test]
    fn progress_wakes_who_waits_and_nothing_else_does() {
        let ledger = ledger();
        let mut one = connect(&ledger, "one");
        let mut changes = ledger.changes();
        one.record(std::iter::empty(), 0);
        assert!(!changes.has_changed().unwrap());
        one.record(std::iter::empty(), 1);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        drop(one);
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn a_status_is_plain_json() {
        let ledger = ledger();
        let mut one = connect(&ledger, "one");
        let acked = Event::Acked { kind: Kind::Route, version: "w".into() };
        one.record([acked].into_iter(), 1);
        let json = serde_json::to_value(ledger.nodes()).unwrap();
        let expected = serde_json::json!([{
            "node": "one", "fleet": "demo", "connected": true, "since": 7, "mode": "delta",
            "synced": 1, "acked": {"route": "w"}, "refused": {}
        }]);
        assert_eq!(json, expected);
    }
}
