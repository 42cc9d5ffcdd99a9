//! The ledger of all sidecars.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use dashmap::mapref::multiple::RefMulti;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::inspect::{Exchanges, INQUIRIES, Inquiry, Inspection, inspect};
use super::node::{Node, NodeStatus, Stream};
use super::tally::{Standing, Tally};
use super::times::Times;
use crate::clock::Clock;
use tidegate_delivery::model::progress::{AckTimes, Convergence, MAX_NAMED, Nack};
use tidegate_delivery::names::FleetName;
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::{Event, Holding};

/// How many sidecars that left are remembered. Node ids are the clients' own words: without a
/// bound they could fill the memory.
const MAX_GONE: usize = 100;

/// Most of a refusal that a waiting release tells, in characters; the rest is in the sidecar's status.
const MAX_TOLD: usize = 300;

/// A sidecar's name: what Envoy says in `node.cluster` and `node.id`.
type Key = (FleetName, Arc<str>);

/// Who is connected, who acknowledged what, who refused what.
#[derive(Debug)]
pub struct AckTracker {
    nodes: DashMap<Key, Node>,
    /// Locked under a node's own lock, never the other way round.
    tally: Mutex<Tally>,
    gone: Mutex<VecDeque<NodeStatus>>,
    times: Mutex<Times>,
    changes: watch::Sender<u64>,
    next_stream: AtomicU64,
    clock: Clock,
}

impl AckTracker {
    /// An empty ledger.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            nodes: DashMap::new(),
            tally: Mutex::default(),
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
        let (sender, inquiries) = mpsc::channel(INQUIRIES);
        let stream = Stream::new(id, mode, self.clock.now(), sender);
        let mut known = self.nodes.entry(key.clone()).or_default();
        let before = known.standing();
        known.streams.push(stream);
        self.tally.lock().moved(before, known.standing());
        drop(known);
        self.notify();
        let ack_tracker = Arc::clone(self);
        Connection { ack_tracker, key, id, synced: 0, inquiries, exchanges: Exchanges::new(mode) }
    }

    /// Notes that a publication is about to be made, so that its way to the sidecars can be timed.
    pub fn publishing(&self, serial: u64) {
        self.times.lock().begin(serial, self.clock.now());
    }

    /// Who of the connected sidecars has a publication, and who has not.
    #[must_use]
    pub fn convergence(&self, serial: u64) -> Convergence {
        let tally = self.tally.lock().at(serial);
        let mut convergence = Convergence {
            acked: tally.acked,
            nacked: tally.refusing,
            connected: tally.connected,
            times: self.times.lock().of(serial),
            ..Convergence::default()
        };
        self.name_some(serial, &mut convergence);
        convergence
    }

    /// Names a few of those that refuse or lag. Looks no further than it has to: while a push is
    /// under way most lag, and when it is over nobody has to be looked for.
    fn name_some(&self, serial: u64, convergence: &mut Convergence) {
        let few = |count: u32| usize::try_from(count).map_or(MAX_NAMED, |it| it.min(MAX_NAMED));
        let (refusing, lagging) = (few(convergence.nacked), few(convergence.pending()));
        let mut nodes = self.nodes.iter();
        while convergence.nacks.len() < refusing || convergence.lagging.len() < lagging {
            let Some(node) = nodes.next() else { break };
            match node.standing() {
                Some(Standing::Refuses) if convergence.nacks.len() < refusing => {
                    convergence.nacks.extend(refusal(&node));
                }
                Some(Standing::Has(has)) if has < serial && convergence.lagging.len() < lagging => {
                    convergence.lagging.push(shown(&node.key().1));
                }
                _ => {}
            }
        }
        convergence.nacks.sort_by(|a, b| a.node.cmp(&b.node));
        convergence.lagging.sort();
    }

    /// How long the sidecars took to accept the newest publication that any has accepted.
    #[must_use]
    pub fn newest_times(&self) -> Option<AckTimes> {
        self.times.lock().newest()
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

    /// Asks a connected sidecar's streams what they were sent.
    pub async fn inspect(&self, fleet: &FleetName, node: &str) -> Inspection {
        let key = (fleet.clone(), Arc::from(node));
        let streams = self.nodes.get(&key).map(|node| {
            node.streams.iter().map(|stream| stream.inquiries.clone()).collect::<Vec<_>>()
        });
        inspect(&streams.unwrap_or_default()).await
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
        let before = node.get().standing();
        node.get_mut().streams.retain(|stream| stream.id != id);
        self.tally.lock().moved(before, node.get().standing());
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
    ack_tracker: Arc<AckTracker>,
    key: Key,
    id: u64,
    synced: u64,
    inquiries: mpsc::Receiver<Inquiry>,
    exchanges: Exchanges,
}

impl Connection {
    /// Notes that a response was handed to the client.
    pub fn pushed(&mut self, kind: Kind, version: Box<str>) {
        self.exchanges.push(kind, version, self.ack_tracker.clock.now());
    }

    /// Waits until somebody asks what the client was sent.
    pub async fn inquiry(&mut self) -> Option<Inquiry> {
        self.inquiries.recv().await
    }

    /// Tells whoever asks what the client was sent, given what it holds.
    pub fn tell(&self, inquiry: Inquiry, holdings: BTreeMap<Kind, Vec<Holding>>) {
        // Whoever asked may have gone: then nobody needs an answer.
        inquiry.send(self.exchanges.report(holdings)).ok();
    }

    /// Notes what became known of the client, and how far it is.
    pub fn record(&mut self, events: impl Iterator<Item = Event>, synced: u64) {
        let mut events = events.peekable();
        if events.peek().is_none() && synced == self.synced {
            return;
        }
        self.synced = synced;
        let now = self.ack_tracker.clock.now();
        let mut news = false;
        if let Some(mut node) = self.ack_tracker.nodes.get_mut(&self.key) {
            let before = node.standing();
            let mut streams = node.streams.iter_mut();
            if let Some(stream) = streams.find(|stream| stream.id == self.id) {
                for event in events {
                    self.exchanges.note(&event, now);
                    news |= stream.record(event, now);
                }
                news |= stream.advance(synced);
            }
            if let Some((reached, since)) = node.reached() {
                self.ack_tracker.times.lock().record(&reached, since, now);
            }
            self.ack_tracker.tally.lock().moved(before, node.standing());
        }
        if news {
            self.ack_tracker.notify();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.ack_tracker.disconnect(&self.key, self.id);
    }
}

fn refusal(node: &RefMulti<'_, Key, Node>) -> Option<Nack> {
    let (kind, nack) = node.refusal()?;
    let (_, name) = node.key();
    Some(Nack {
        node: shown(name),
        resource: kind.label().to_owned(),
        message: shown(&nack.message),
    })
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
mod tests;
