//! The ACK tracker: which sidecars are connected, and which publications they have ACKed or NACKed.
//!
//! Each xDS stream owns a [`Connection`], through which it records the events of its session. The controller reads the
//! [`Convergence`] of a publication.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use dashmap::mapref::multiple::RefMulti;
use parking_lot::Mutex;
use tidegate_core::version::FilterVersion;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::inspect::{Exchanges, INQUIRIES, Inquiry, Inspection, inspect};
use super::node::{self, Node, NodeStatus, Stream};
use super::tally::{Standing, Tally};
use super::times::Times;
use crate::clock::Clock;
use tidegate_delivery::model::progress::{AckTimes, Convergence, MAX_NAMED, Nack};
use tidegate_delivery::names::FleetName;
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::{Event, ResourceStatus};

/// Maximum number of disconnected sidecars that are listed. Clients choose their node ids, so the list must be bounded.
const MAX_DISCONNECTED: usize = 100;

/// Maximum number of stored NACKs of disconnected sidecars. Further ones are dropped.
const MAX_FILTER_NACKS: usize = 10_000;

/// Maximum length of a NACK's message in the blockers of a release, in characters. The node's status has the whole message.
const MAX_MESSAGE: usize = 300;

/// A sidecar: Envoy's `node.cluster` and `node.id`.
type Key = (FleetName, Arc<str>);

/// The connected sidecars, with their ACKs and NACKs.
#[derive(Debug)]
pub struct AckTracker {
    nodes: DashMap<Key, Node>,
    /// Locked under a node's own lock, never the other way round.
    tally: Mutex<Tally>,
    disconnected: Mutex<VecDeque<NodeStatus>>,
    /// NACKs of the filter's configuration by sidecars without a stream. Locked under a node's own lock.
    filter_nacks: Mutex<BTreeMap<Key, node::Nack>>,
    times: Mutex<Times>,
    changes: watch::Sender<u64>,
    next_stream: AtomicU64,
    clock: Clock,
}

impl AckTracker {
    /// A tracker without sidecars.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            nodes: DashMap::new(),
            tally: Mutex::default(),
            disconnected: Mutex::default(),
            filter_nacks: Mutex::default(),
            times: Mutex::default(),
            changes: watch::Sender::new(0),
            next_stream: AtomicU64::new(0),
            clock,
        })
    }

    /// Records a new stream of a sidecar. The sidecar is connected until all its [`Connection`]s are dropped.
    #[must_use]
    pub fn connect(self: &Arc<Self>, fleet: FleetName, node: &str, mode: Mode) -> Connection {
        let id = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let key = (fleet, Arc::from(node));
        let earlier = self.forget_disconnected(&key);
        let (sender, inquiries) = mpsc::channel(INQUIRIES);
        let stream = Stream::new(id, mode, self.clock.now(), sender);
        let mut known = self.nodes.entry(key.clone()).or_default();
        let before = known.standing();
        known.streams.push(stream);
        if let Some(version) = earlier.and_then(|status| status.filter_version) {
            known.filter_version.get_or_insert(version);
        }
        if let Some(nack) = self.filter_nacks.lock().remove(&key) {
            known.filter_nack.get_or_insert(nack);
        }
        self.tally.lock().moved(before, known.standing());
        drop(known);
        self.notify();
        let ack_tracker = Arc::clone(self);
        let exchanges = Exchanges::new(mode);
        Connection { ack_tracker, key, id, resumed: false, synced: 0, inquiries, exchanges }
    }

    /// Removes a sidecar from the list of the disconnected ones.
    fn forget_disconnected(&self, key: &Key) -> Option<NodeStatus> {
        let mut disconnected = self.disconnected.lock();
        let is_same = |it: &NodeStatus| (&it.fleet, &*it.node) == (&key.0, &*key.1);
        let index = disconnected.iter().position(is_same)?;
        disconnected.remove(index)
    }

    /// Records the version of a connected sidecar's filter. One that is older than this server's is logged once.
    pub fn record_filter_version(&self, fleet: &str, node: &str, version: &FilterVersion) {
        let Ok(fleet) = fleet.parse() else { return };
        let key: Key = (fleet, Arc::from(node));
        if self.nodes.get(&key).is_none_or(|it| it.filter_version.as_ref() == Some(version)) {
            return;
        }
        let current = FilterVersion::current();
        let is_outdated = self
            .nodes
            .get_mut(&key)
            .is_some_and(|mut node| node.set_filter_version(version, &current));
        if is_outdated {
            let (fleet, node) = (&key.0, one_line(&key.1));
            warn!(%fleet, node, %version, server = %current, "the sidecar's filter is older than the server; update its WASM module");
        }
    }

    /// Records the time of a publication. Must be called before the publication, whose ACKs are measured from here.
    pub fn publishing(&self, serial: u64) {
        self.times.lock().begin(serial, self.clock.now());
    }

    /// The convergence of a publication.
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
        self.add_names(serial, &mut convergence);
        convergence
    }

    /// Adds up to [`MAX_NAMED`] sidecars each that NACKed or lag. The search ends as soon as they are found: during a push
    /// nearly all lag, and after it none is searched.
    fn add_names(&self, serial: u64, convergence: &mut Convergence) {
        let few = |count: u32| usize::try_from(count).map_or(MAX_NAMED, |it| it.min(MAX_NAMED));
        let (refusing, lagging) = (few(convergence.nacked), few(convergence.pending()));
        let mut nodes = self.nodes.iter();
        while convergence.nacks.len() < refusing || convergence.lagging.len() < lagging {
            let Some(node) = nodes.next() else { break };
            match node.standing() {
                Some(Standing::Refuses) if convergence.nacks.len() < refusing => {
                    convergence.nacks.extend(nack_of(&node));
                }
                Some(Standing::Has(has)) if has < serial && convergence.lagging.len() < lagging => {
                    convergence.lagging.push(one_line(&node.key().1));
                }
                _ => {}
            }
        }
        convergence.nacks.sort_by(|a, b| a.node.cmp(&b.node));
        convergence.lagging.sort();
    }

    /// ACK times of the newest publication that any sidecar has ACKed.
    #[must_use]
    pub fn newest_times(&self) -> Option<AckTimes> {
        self.times.lock().newest()
    }

    /// All connected and recently disconnected sidecars, by fleet and name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let connected = self.nodes.iter();
        let mut nodes: Vec<NodeStatus> =
            connected.filter_map(|node| node.status(&node.key().0, &node.key().1)).collect();
        nodes.extend(self.disconnected.lock().iter().cloned());
        nodes.sort_by(|a, b| (&a.fleet, &a.node).cmp(&(&b.fleet, &b.node)));
        nodes
    }

    /// The resources that a connected sidecar was sent, from the tasks of its streams.
    pub async fn inspect(&self, fleet: &FleetName, node: &str) -> Inspection {
        let key = (fleet.clone(), Arc::from(node));
        let streams = self.nodes.get(&key).map(|node| {
            node.streams.iter().map(|stream| stream.inquiries.clone()).collect::<Vec<_>>()
        });
        inspect(&streams.unwrap_or_default()).await
    }

    /// Changes when a sidecar progresses, connects or disconnects. The value is a counter.
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
        node.get_mut().end_stream(id);
        self.tally.lock().moved(before, node.get().standing());
        if node.get().streams.is_empty() {
            if let Some(nack) = node.get_mut().filter_nack.take() {
                let mut filter_nacks = self.filter_nacks.lock();
                if filter_nacks.len() < MAX_FILTER_NACKS {
                    filter_nacks.insert(key.clone(), nack);
                }
            }
            node.remove();
            let mut disconnected = self.disconnected.lock();
            if disconnected.len() >= MAX_DISCONNECTED {
                disconnected.pop_front();
            }
            disconnected.extend(last.map(|status| NodeStatus {
                connected: false,
                since: self.clock.now(),
                ..status
            }));
        }
        self.notify();
    }
}

/// One stream in the tracker, until it is dropped.
#[derive(Debug)]
pub struct Connection {
    ack_tracker: Arc<AckTracker>,
    key: Key,
    id: u64,
    /// The client is a running process that has reconnected.
    resumed: bool,
    synced: u64,
    inquiries: mpsc::Receiver<Inquiry>,
    exchanges: Exchanges,
}

impl Connection {
    /// Records that a response was sent.
    pub fn pushed(&mut self, kind: Kind, version: Box<str>) {
        self.exchanges.push(kind, version, self.ack_tracker.clock.now());
    }

    /// Waits for an inspection.
    pub async fn inquiry(&mut self) -> Option<Inquiry> {
        self.inquiries.recv().await
    }

    /// Answers an inspection.
    pub fn tell(&self, inquiry: Inquiry, holdings: BTreeMap<Kind, Vec<ResourceStatus>>) {
        // Fails if the inspection has timed out.
        inquiry.send(self.exchanges.report(holdings)).ok();
    }

    /// Records the events of the session, and its newest synchronized publication.
    pub fn record(&mut self, events: impl Iterator<Item = Event>, synced: u64) {
        let mut events = events.peekable();
        if events.peek().is_none() && synced == self.synced {
            return;
        }
        self.synced = synced;
        let now = self.ack_tracker.clock.now();
        let mut has_changed = false;
        if let Some(mut node) = self.ack_tracker.nodes.get_mut(&self.key) {
            let before = node.standing();
            let id = self.id;
            for event in events {
                self.exchanges.note(&event, now);
                match &event {
                    Event::Resumed => self.resumed = true,
                    Event::Acked { kind, version } => node.on_acked(*kind, version, self.resumed),
                    Event::Nacked { .. } | Event::Cleared { .. } => {}
                }
                if let Some(stream) = node.streams.iter_mut().find(|stream| stream.id == id) {
                    has_changed |= stream.record(event, now);
                }
            }
            if let Some(stream) = node.streams.iter_mut().find(|stream| stream.id == id) {
                has_changed |= stream.advance(synced);
            }
            has_changed |= before != node.standing();
            if let Some((reached, since)) = node.reached() {
                self.ack_tracker.times.lock().record(&reached, since, now);
            }
            self.ack_tracker.tally.lock().moved(before, node.standing());
        }
        if has_changed {
            self.ack_tracker.notify();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.ack_tracker.disconnect(&self.key, self.id);
    }
}

fn nack_of(node: &RefMulti<'_, Key, Node>) -> Option<Nack> {
    let (kind, nack) = node.refusal()?;
    let (_, name) = node.key();
    Some(Nack {
        node: one_line(name),
        resource: kind.label().to_owned(),
        message: one_line(&nack.message),
    })
}

/// Text of a client on one line, clipped to [`MAX_MESSAGE`].
pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text
        .trim()
        .chars()
        .take(MAX_MESSAGE)
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    if text.trim().chars().nth(MAX_MESSAGE).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests;
