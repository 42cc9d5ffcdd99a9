//! The ledger of all sidecars.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::node::{Node, NodeStatus, Stream};
use super::times::Times;
use crate::clock::Clock;
use crate::delivery::names::FleetName;
use crate::delivery::progress::{AckTimes, Convergence, MAX_NAMED, Refused};
use crate::xds::kind::Mode;
use crate::xds::protocol::Event;

/// How many sidecars that left are remembered. Node ids are the clients' own words: without a
/// bound they could fill the memory.
const MAX_GONE: usize = 100;

/// Most of a refusal that a waiting release tells, in characters; the rest is in the sidecar's status.
const MAX_TOLD: usize = 300;

/// A sidecar's name: what Envoy says in `node.cluster` and `node.id`.
type Key = (FleetName, Arc<str>);

/// Who is connected, who acknowledged what, who refused what.
#[derive(Debug)]
pub struct Ledger {
    nodes: DashMap<Key, Node>,
    gone: Mutex<VecDeque<NodeStatus>>,
    times: Mutex<Times>,
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
            times: Mutex::default(),
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
        known.streams.push(stream);
        drop(known);
        self.notify();
        Connection { ledger: Arc::clone(self), key, id, synced: 0 }
    }

    /// Notes that a publication is about to be made, so that its way to the sidecars can be timed.
    pub fn publishing(&self, serial: u64) {
        self.times.lock().begin(serial, self.clock.now());
    }

    /// Who of the connected sidecars has a publication, and who has not.
    #[must_use]
    pub fn convergence(&self, serial: u64) -> Convergence {
        let mut convergence =
            Convergence { times: self.times.lock().of(serial), ..Convergence::default() };
        let (mut refusing, mut lagging) = (First::default(), First::default());
        for node in &self.nodes {
            convergence.connected += 1;
            if node.refusal().is_some() {
                convergence.refusing += 1;
                refusing.keep(node.key());
            } else if node.synced() >= serial {
                convergence.acked += 1;
            } else {
                lagging.keep(node.key());
            }
        }
        convergence.refused = refusing.0.iter().filter_map(|key| self.refusal(key)).collect();
        convergence.lagging = lagging.0.iter().map(|(_, node)| shown(node)).collect();
        convergence
    }

    /// How long the sidecars took to accept the newest publication that any has accepted.
    #[must_use]
    pub fn newest_times(&self) -> Option<AckTimes> {
        self.times.lock().newest()
    }

    fn refusal(&self, key: &Key) -> Option<Refused> {
        let node = self.nodes.get(key)?;
        let (kind, nack) = node.refusal()?;
        Some(Refused { node: shown(&key.1), kind: kind.label(), message: shown(&nack.message) })
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
        let mut news = false;
        if let Some(mut node) = self.ledger.nodes.get_mut(&self.key) {
            let mut streams = node.streams.iter_mut();
            if let Some(stream) = streams.find(|stream| stream.id == self.id) {
                for event in events {
                    news |= stream.record(event, now);
                }
                news |= stream.advance(synced);
            }
            if let Some((reached, since)) = node.reached() {
                self.ledger.times.lock().record(&reached, since, now);
            }
        }
        if news {
            self.ledger.notify();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.ledger.disconnect(&self.key, self.id);
    }
}

/// The first few of many, in order.
#[derive(Default)]
struct First(Vec<Key>);

impl First {
    fn keep(&mut self, key: &Key) {
        let at = self.0.partition_point(|kept| kept < key);
        if at < MAX_NAMED {
            self.0.insert(at, key.clone());
            self.0.truncate(MAX_NAMED);
        }
    }
}

/// A client's words, as they may be put into a sentence: on one line, and not too long.
fn shown(text: &str) -> String {
    let mut words: String = text
        .trim()
        .chars()
        .take(MAX_TOLD)
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    if text.trim().chars().nth(MAX_TOLD).is_some() {
        words.push('…');
    }
    words
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

    fn nacked(message: &str) -> Event {
        let message = message.to_owned();
        Event::Nacked { kind: Kind::Route, version: "v".into(), message }
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
    fn a_refusal_is_shown_until_it_is_cleared() {
        let ledger = ledger();
        let mut one = connect(&ledger, "one");
        one.record([nacked("bad")].into_iter(), 0);
        let refused = ledger.nodes().remove(0).refused;
        assert_eq!(refused[&Kind::Route].message, "bad");
        assert_eq!(refused[&Kind::Route].at, Timestamp(7));
        let acked = Event::Acked { kind: Kind::Route, version: "w".into() };
        one.record([acked, Event::Cleared { kind: Kind::Route }].into_iter(), 1);
        let status = ledger.nodes().remove(0);
        assert!(status.refused.is_empty());
        assert_eq!(status.acked[&Kind::Route], "w");
        let (kind, nack) = status.last_refusal.unwrap();
        assert_eq!((kind, &*nack.message), (Kind::Route, "bad"), "the last one stays to be seen");
    }

    #[test]
    fn who_refuses_has_not_got_it_whatever_else_it_answered() {
        let ledger = ledger();
        let mut one = connect(&ledger, "one");
        let mut changes = ledger.changes();
        one.record([nacked("not\nlike this")].into_iter(), 0);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        one.record(std::iter::empty(), 9);
        let seen = ledger.convergence(9);
        assert_eq!((seen.acked, seen.refusing, seen.connected, seen.behind()), (0, 1, 1, 0));
        let message = "not like this".to_owned();
        assert_eq!(seen.refused, [Refused { node: "one".to_owned(), kind: "route", message }]);
        assert_eq!(seen.times, None);
        changes.mark_unchanged();
        one.record([Event::Cleared { kind: Kind::Route }].into_iter(), 9);
        assert!(changes.has_changed().unwrap());
        assert_eq!(acked_of(&ledger, 9), (1, 1));
    }

    #[test]
    fn the_first_few_are_named_in_order_and_briefly() {
        let ledger = ledger();
        let names = (0..2 * MAX_NAMED).map(|it| format!("node-{it}")).rev();
        let all: Vec<_> = names.map(|name| connect(&ledger, &name)).collect();
        let mut long = connect(&ledger, "refuses");
        long.record([nacked(&"é".repeat(MAX_TOLD + 1))].into_iter(), 0);
        let seen = ledger.convergence(1);
        let first: Vec<_> = (0..MAX_NAMED).map(|it| format!("node-{it}")).collect();
        assert_eq!(seen.lagging, first);
        assert_eq!(usize::try_from(seen.behind()).unwrap(), all.len());
        assert_eq!(seen.refused[0].message, format!("{}…", "é".repeat(MAX_TOLD)));
    }

    #[test]
    fn the_way_to_the_sidecars_is_timed() {
        let now = Arc::new(AtomicU64::new(1_000));
        let time = Arc::clone(&now);
        let ledger = Ledger::new(Clock::new(move || Timestamp(time.load(Ordering::Relaxed))));
        let mut clusters = connect(&ledger, "one");
        let mut routes = connect(&ledger, "one");
        ledger.publishing(1);
        now.store(1_100, Ordering::Relaxed);
        clusters.record(std::iter::empty(), 1);
        assert_eq!(ledger.newest_times(), None, "the slowest stream counts");
        now.store(2_000, Ordering::Relaxed);
        routes.record(std::iter::empty(), 1);
        let times = ledger.convergence(1).times.unwrap();
        assert!(times.p99.as_millis().abs_diff(1_000) <= 63, "{times:?}");

        // A stream that opens late starts anew, and says nothing of what was had before.
        let mut late = connect(&ledger, "one");
        now.store(90_000, Ordering::Relaxed);
        late.record(std::iter::empty(), 1);
        assert_eq!(ledger.convergence(1).times, Some(times));
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
            "synced": 1, "acked": {"route": "w"}, "refused": {}, "last_refusal": null
        }]);
        assert_eq!(json, expected);
    }
}
