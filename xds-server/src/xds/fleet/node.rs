//! The state of one sidecar, combined from its streams.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::version::FilterVersion;
use tokio::sync::mpsc;

use super::inspect::Inquiry;
use super::sync_counts::{NodeState, Sync};
use tidegate_delivery::names::FleetName;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::Event;

/// The status of a sidecar for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Envoy's `node.id`.
    pub node: String,
    /// Envoy's `node.cluster`.
    pub fleet: FleetName,
    /// False for a recently disconnected sidecar.
    pub connected: bool,
    /// The time when it connected or disconnected.
    pub since: Timestamp,
    /// How it receives its configuration.
    pub channel: Channel,
    /// The newest publication of which it has answered all responses.
    pub synced: u64,
    /// The last ACKed version, by resource type.
    pub acked: BTreeMap<Kind, String>,
    /// The NACKs of resources that are still configured, by resource type.
    pub nacks: BTreeMap<Kind, Nack>,
    /// The last NACK, also if a later version was ACKed.
    pub last_nack: Option<(Kind, Nack)>,
    /// The version of its filter, from reports.
    pub filter_version: Option<FilterVersion>,
    /// When its filter reported last, on the current connection.
    pub last_report: Option<Timestamp>,
    /// Whether it has the filter and does not report.
    pub silent: bool,
}

/// How a sidecar receives its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// By xDS, in this variant.
    Xds(Mode),
    /// In the responses to its reports, in an Istio mesh.
    Reports(Reporting),
}

/// The reports of a sidecar of an Istio mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reporting {
    /// Instances of its filter that report.
    pub instances: u32,
    /// Instances that have stopped reporting, although their connection is open.
    pub silent: u32,
}

/// A NACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// The version of the response.
    pub version: String,
    /// The error message. Its text differs between versions of Envoy.
    pub message: String,
    /// The time of the NACK.
    pub at: Timestamp,
}

/// One stream of a sidecar. With ADS there is one, otherwise one for each type.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u64,
    pub(super) since: Timestamp,
    pub(super) mode: Mode,
    /// The channel to its task.
    pub(super) inquiries: mpsc::Sender<Inquiry>,
    synced: u64,
    acked: BTreeMap<Kind, String>,
    nacks: BTreeMap<Kind, Nack>,
    last_nack: Option<(Kind, Nack)>,
}

impl Stream {
    pub(super) const fn new(
        id: u64,
        mode: Mode,
        since: Timestamp,
        inquiries: mpsc::Sender<Inquiry>,
    ) -> Self {
        Self {
            id,
            since,
            mode,
            inquiries,
            synced: 0,
            acked: BTreeMap::new(),
            nacks: BTreeMap::new(),
            last_nack: None,
        }
    }

    /// Records an event. Returns true if the set of NACKs has changed.
    pub(super) fn record(&mut self, event: Event, at: Timestamp) -> bool {
        match event {
            Event::Acked { kind, version } => {
                self.acked.insert(kind, version.into());
                false
            }
            Event::Nacked { kind, version, message } => {
                let nack = Nack { version: version.into(), message, at };
                self.last_nack = Some((kind, nack.clone()));
                self.nacks.insert(kind, nack);
                true
            }
            Event::Resumed { .. } => false,
            Event::Cleared { kind } => self.nacks.remove(&kind).is_some(),
        }
    }

    /// Records the newest answered publication. Returns true if it advanced.
    pub(super) const fn advance(&mut self, synced: u64) -> bool {
        let further = synced > self.synced;
        self.synced = synced;
        further
    }
}

/// The streams of a sidecar.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) streams: Vec<Stream>,
    /// The newest publication whose ACK time was recorded.
    timed: u64,
    /// The NACK of the filter's configuration on a stream that has ended, see [`Node::on_acked`].
    pub(super) filter_nack: Option<Nack>,
    pub(super) filter_version: Option<FilterVersion>,
    /// Whether an older version of the filter was logged.
    warned: bool,
    /// Since when it is known to have the filter, on the current connection.
    filter_since: Option<Timestamp>,
    /// The time of the last report since then, in milliseconds; 0 without one. Reports set it under a shared lock.
    last_report_ms: AtomicU64,
}

impl Node {
    /// The newest publication that every stream has answered; `None` without a stream.
    fn synced(&self) -> Option<u64> {
        self.streams.iter().map(|stream| stream.synced).min()
    }

    /// The state; `None` without a stream.
    pub(super) fn state(&self) -> Option<NodeState> {
        let synced = self.synced()?;
        let sync = if self.nack().is_some() { Sync::Nacked } else { Sync::Acked(synced) };
        Some(NodeState { sync, has_filter: self.filter_since.is_some() })
    }

    /// The NACK of the first resource type with one.
    pub(super) fn nack(&self) -> Option<(Kind, &Nack)> {
        let nacks = self.streams.iter().flat_map(|stream| &stream.nacks);
        let filter_nack = self.filter_nack.iter().map(|nack| (Kind::Extension, nack));
        nacks.map(|(kind, nack)| (*kind, nack)).chain(filter_nack).min_by_key(|(kind, _)| *kind)
    }

    /// Records a report.
    pub(super) fn record_report(&self, now: Timestamp) {
        self.last_report_ms.fetch_max(now.0, Ordering::Relaxed);
    }

    /// The time of the last report since the sidecar connected.
    pub(super) fn last_report(&self) -> Option<Timestamp> {
        let at = self.last_report_ms.load(Ordering::Relaxed);
        (at != 0).then_some(Timestamp(at))
    }

    /// Whether it has had the filter, and not reported, for longer than `limit`.
    pub(super) fn is_silent(&self, now: Timestamp, limit: Duration) -> bool {
        let since = self.filter_since.max(self.last_report());
        self.filter_since.is_some() && since.is_some_and(|since| now.since(since) > limit)
    }

    /// Removes a stream that has ended. A NACK of the filter's configuration stays.
    pub(super) fn end_stream(&mut self, id: u64) {
        if let Some(index) = self.streams.iter().position(|stream| stream.id == id) {
            let mut stream = self.streams.remove(index);
            self.filter_nack = stream.nacks.remove(&Kind::Extension).or(self.filter_nack.take());
        }
    }

    /// Records that the client has resources of a type from before its connection.
    pub(super) fn on_resumed(&mut self, kind: Kind, now: Timestamp) {
        if kind == Kind::Extension {
            self.filter_since.get_or_insert(now);
        }
    }

    /// Drops the NACK of an earlier stream if this ACK proves that it no longer applies.
    ///
    /// Envoy compares a filter configuration with the last one that it received. After a reconnection it therefore ACKs
    /// content that it NACKed before, without applying it. So an ACK counts if its content is another one, or if the client
    /// is a new process, which has not `resumed` with resources from before its stream.
    pub(super) fn on_acked(&mut self, kind: Kind, version: &str, resumed: bool, now: Timestamp) {
        if kind == Kind::Extension {
            self.filter_since.get_or_insert(now);
        }
        let is_other = kind == Kind::Extension
            && self.filter_nack.as_ref().is_some_and(|nack| *nack.version != *version);
        if is_other || !resumed {
            self.filter_nack = None;
        }
    }

    /// Records the version of the filter. Returns true for the first one that is older than `current`.
    pub(super) fn set_filter_version(
        &mut self,
        version: &FilterVersion,
        current: &FilterVersion,
    ) -> bool {
        self.filter_version = Some(version.clone());
        let is_first = version.is_older_than(current) && !self.warned;
        self.warned |= is_first;
        is_first
    }

    /// The publications ACKed since the last call, and the connection time. `None` if there are none, or if a NACK is open.
    pub(super) fn reached(&mut self) -> Option<(RangeInclusive<u64>, Timestamp)> {
        let synced = self.synced()?;
        if synced <= self.timed {
            return None;
        }
        let reached = self.timed.saturating_add(1)..=synced;
        self.timed = synced;
        let since = self.streams.iter().map(|stream| stream.since).min()?;
        self.nack().is_none().then_some((reached, since))
    }

    /// The status; `None` without a stream. [`NodeStatus::silent`] is left to the caller.
    pub(super) fn status(&self, fleet: &FleetName, node: &str) -> Option<NodeStatus> {
        let first = self.streams.first()?;
        let mut status = NodeStatus {
            node: node.to_owned(),
            fleet: fleet.clone(),
            connected: true,
            since: first.since,
            channel: Channel::Xds(first.mode),
            synced: self.synced().unwrap_or_default(),
            acked: BTreeMap::new(),
            nacks: BTreeMap::new(),
            last_nack: None,
            filter_version: self.filter_version.clone(),
            last_report: self.last_report(),
            silent: false,
        };
        for stream in &self.streams {
            status.acked.extend(stream.acked.clone());
            status.nacks.extend(stream.nacks.clone());
            let nacks = [status.last_nack.take(), stream.last_nack.clone()];
            status.last_nack = nacks.into_iter().flatten().max_by_key(|(_, nack)| nack.at);
        }
        if let Some(nack) = &self.filter_nack {
            status.nacks.entry(Kind::Extension).or_insert_with(|| nack.clone());
            status.last_nack.get_or_insert_with(|| (Kind::Extension, nack.clone()));
        }
        Some(status)
    }
}
