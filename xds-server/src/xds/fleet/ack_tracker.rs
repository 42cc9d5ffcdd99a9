//! The ACK tracker: which sidecars are connected, which publications they have ACKed or NACKed, and whether their filters
//! report.
//!
//! Each xDS stream owns a [`Connection`], through which it records the events of its session; the report service calls
//! [`AckTracker::record_report`]. The controller reads the [`Convergence`] of a publication among the fleets that carry a
//! service.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use dashmap::mapref::multiple::RefMulti;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::inspect::{Exchanges, INQUIRIES, Inquiry, Inspection, inspect};
use super::node::{self, Node, NodeStatus, Stream};
use super::reporting::FleetState;
use super::sync_counts::{NodeState, PublicationCounts, Sync};
use super::times::PublicationTimes;
use crate::clock::Clock;
use tidegate_delivery::model::progress::{Convergence, MAX_NAMED, Nack};
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
pub(super) type Key = (FleetName, Arc<str>);

/// The connected sidecars, with their ACKs and NACKs.
#[derive(Debug)]
pub struct AckTracker {
    pub(super) nodes: DashMap<Key, Node>,
    /// Locked under a node's own lock, never the other way round.
    pub(super) fleets: Mutex<BTreeMap<FleetName, FleetState>>,
    disconnected: Mutex<VecDeque<NodeStatus>>,
    /// NACKs of the filter's configuration by sidecars without a stream. Locked under a node's own lock.
    filter_nacks: Mutex<BTreeMap<Key, node::Nack>>,
    times: Arc<PublicationTimes>,
    /// See [`AckTracker::update_silent`].
    pub(super) silence_limit_ms: AtomicU64,
    changes: watch::Sender<u64>,
    next_stream: AtomicU64,
    pub(super) clock: Clock,
}

impl AckTracker {
    /// A tracker without sidecars.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            nodes: DashMap::new(),
            fleets: Mutex::default(),
            disconnected: Mutex::default(),
            filter_nacks: Mutex::default(),
            times: Arc::default(),
            silence_limit_ms: AtomicU64::new(u64::MAX),
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
        let before = known.state();
        known.streams.push(stream);
        if let Some(version) = earlier.and_then(|status| status.filter_version) {
            known.filter_version.get_or_insert(version);
        }
        if let Some(nack) = self.filter_nacks.lock().remove(&key) {
            known.filter_nack.get_or_insert(nack);
        }
        self.moved(&key.0, before, known.state());
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

    /// Records the time of a publication. Must be called before the publication, whose ACKs are measured from here.
    pub fn publishing(&self, serial: u64) {
        self.times.begin(serial, self.clock.now());
    }

    /// The time from each publication until sidecars ACKed it. [`super::reporters::Reporters`] record theirs in it as well.
    #[must_use]
    pub fn times(&self) -> Arc<PublicationTimes> {
        Arc::clone(&self.times)
    }

    /// The convergence of a publication among the sidecars of the fleets for which `carries` is true.
    #[must_use]
    pub fn convergence(&self, serial: u64, carries: impl Fn(&FleetName) -> bool) -> Convergence {
        let mut convergence =
            Convergence { times: self.times.of(serial), ..Convergence::default() };
        for (_, fleet) in self.fleets.lock().iter().filter(|(name, _)| carries(name)) {
            let PublicationCounts { acked, nacked, connected } = fleet.counts.at(serial);
            convergence.acked += acked;
            convergence.nacked += nacked;
            convergence.connected += connected;
            fleet.silent.add_to(&mut convergence);
        }
        self.add_names(serial, carries, &mut convergence);
        convergence
    }

    /// Adds up to [`MAX_NAMED`] sidecars each that NACKed or lag. The search ends as soon as they are found: during a push
    /// nearly all lag, and after it none is searched.
    fn add_names(
        &self,
        serial: u64,
        carries: impl Fn(&FleetName) -> bool,
        convergence: &mut Convergence,
    ) {
        let few = |count: u32| usize::try_from(count).map_or(MAX_NAMED, |it| it.min(MAX_NAMED));
        let (nacked, lagging) = (few(convergence.nacked), few(convergence.pending()));
        let mut nodes = self.nodes.iter().filter(|node| carries(&node.key().0));
        while convergence.nacks.len() < nacked || convergence.lagging.len() < lagging {
            let Some(node) = nodes.next() else { break };
            match node.state().map(|state| state.sync) {
                Some(Sync::Nacked) if convergence.nacks.len() < nacked => {
                    convergence.nacks.extend(nack_of(&node));
                }
                Some(Sync::Acked(has)) if has < serial && convergence.lagging.len() < lagging => {
                    convergence.lagging.push(one_line(&node.key().1));
                }
                _ => {}
            }
        }
        convergence.nacks.sort_by(|a, b| a.node.cmp(&b.node));
        convergence.lagging.sort();
    }

    /// Records a change of one sidecar in the counts of its fleet.
    pub(super) fn moved(&self, fleet: &FleetName, from: Option<NodeState>, to: Option<NodeState>) {
        let mut fleets = self.fleets.lock();
        match fleets.get_mut(fleet) {
            Some(state) => state.counts.moved(from, to),
            None => fleets.entry(fleet.clone()).or_default().counts.moved(from, to),
        }
    }

    /// All connected and recently disconnected sidecars, by fleet and name.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let (now, limit) = (self.clock.now(), self.silence_limit());
        let status = |node: RefMulti<'_, Key, Node>| {
            let (fleet, id) = node.key();
            let silent = node.is_silent(now, limit);
            Some(NodeStatus { silent, ..node.status(fleet, id)? })
        };
        let mut nodes: Vec<_> = self.nodes.iter().filter_map(status).collect();
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

    pub(super) fn notify(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn disconnect(&self, key: &Key, id: u64) {
        let Entry::Occupied(mut node) = self.nodes.entry(key.clone()) else {
            return;
        };
        let last = node.get().status(&key.0, &key.1);
        let before = node.get().state();
        node.get_mut().end_stream(id);
        self.moved(&key.0, before, node.get().state());
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
            let before = node.state();
            let id = self.id;
            for event in events {
                self.exchanges.note(&event, now);
                match &event {
                    Event::Resumed { kind } => {
                        self.resumed = true;
                        node.on_resumed(*kind, now);
                    }
                    Event::Acked { kind, version } => {
                        node.on_acked(*kind, version, self.resumed, now);
                    }
                    Event::Nacked { .. } | Event::Cleared { .. } => {}
                }
                if let Some(stream) = node.streams.iter_mut().find(|stream| stream.id == id) {
                    has_changed |= stream.record(event, now);
                }
            }
            if let Some(stream) = node.streams.iter_mut().find(|stream| stream.id == id) {
                has_changed |= stream.advance(synced);
            }
            has_changed |= before != node.state();
            if let Some((reached, since)) = node.reached() {
                self.ack_tracker.times.record(&reached, since, now);
            }
            self.ack_tracker.moved(&self.key.0, before, node.state());
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
    let (kind, nack) = node.nack()?;
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
