//! One sidecar, as its streams tell.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Serialize;
use tokio::sync::mpsc;

use super::inspect::Inquiry;
use super::tally::Standing;
use tidegate_delivery::names::FleetName;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::Event;

/// A sidecar as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Envoy's `node.id`.
    pub node: String,
    /// Envoy's `node.cluster`.
    pub fleet: FleetName,
    /// False for those that left lately.
    pub connected: bool,
    /// Since when it is connected, or gone.
    pub since: Timestamp,
    /// How it speaks xDS.
    pub mode: Mode,
    /// The newest publication that it answered in full.
    pub synced: u64,
    /// The version that it accepted last, by type.
    pub acked: BTreeMap<Kind, String>,
    /// What it refused and is still meant to have, by type.
    pub refused: BTreeMap<Kind, Nack>,
    /// What it refused last, even if it has accepted better since.
    pub last_refusal: Option<(Kind, Nack)>,
}

/// A response that a sidecar refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nack {
    /// The response's version.
    pub version: String,
    /// The sidecar's own words. They are for people, and differ between Envoy's versions.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// One stream of a sidecar. With ADS there is one; otherwise there is one for each type.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u64,
    pub(super) since: Timestamp,
    pub(super) mode: Mode,
    /// Where its task can be asked.
    pub(super) inquiries: mpsc::Sender<Inquiry>,
    synced: u64,
    acked: BTreeMap<Kind, String>,
    refused: BTreeMap<Kind, Nack>,
    last_refusal: Option<(Kind, Nack)>,
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
            refused: BTreeMap::new(),
            last_refusal: None,
        }
    }

    /// Notes what became known. Returns true if it refuses more or less than before.
    pub(super) fn record(&mut self, event: Event, at: Timestamp) -> bool {
        match event {
            Event::Acked { kind, version } => {
                self.acked.insert(kind, version.into());
                false
            }
            Event::Nacked { kind, version, message } => {
                let nack = Nack { version: version.into(), message, at };
                self.last_refusal = Some((kind, nack.clone()));
                self.refused.insert(kind, nack);
                true
            }
            Event::Resumed => false,
            Event::Cleared { kind } => self.refused.remove(&kind).is_some(),
        }
    }

    /// Notes how far it is. Returns true if it came further.
    pub(super) const fn advance(&mut self, synced: u64) -> bool {
        let further = synced > self.synced;
        self.synced = synced;
        further
    }
}

/// A sidecar's streams.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) streams: Vec<Stream>,
    /// The newest publication whose way to this sidecar was timed.
    timed: u64,
    /// The NACK of the filter's configuration on a stream that has ended, see [`Node::on_acked`].
    pub(super) filter_nack: Option<Nack>,
}

impl Node {
    /// The newest publication that every stream of it has answered in full; `None` if it has no
    /// stream.
    fn synced(&self) -> Option<u64> {
        self.streams.iter().map(|stream| stream.synced).min()
    }

    /// Where it stands; `None` if it has no stream.
    pub(super) fn standing(&self) -> Option<Standing> {
        let synced = self.synced()?;
        Some(if self.refusal().is_some() { Standing::Refuses } else { Standing::Has(synced) })
    }

    /// What it refuses, the first type of it.
    pub(super) fn refusal(&self) -> Option<(Kind, &Nack)> {
        let refused = self.streams.iter().flat_map(|stream| &stream.refused);
        let filter_nack = self.filter_nack.iter().map(|nack| (Kind::Extension, nack));
        refused.map(|(kind, nack)| (*kind, nack)).chain(filter_nack).min_by_key(|(kind, _)| *kind)
    }

    /// Removes a stream that has ended. A NACK of the filter's configuration stays.
    pub(super) fn end_stream(&mut self, id: u64) {
        if let Some(index) = self.streams.iter().position(|stream| stream.id == id) {
            let mut stream = self.streams.remove(index);
            self.filter_nack = stream.refused.remove(&Kind::Extension).or(self.filter_nack.take());
        }
    }

    /// Drops the NACK of an earlier stream if this ACK proves that it no longer applies.
    ///
    /// Envoy compares a filter configuration with the last one that it received. After a reconnection it therefore ACKs
    /// content that it NACKed before, without applying it. So an ACK counts if its content is another one, or if the client
    /// is a new process, which has not `resumed` with resources from before its stream.
    pub(super) fn on_acked(&mut self, kind: Kind, version: &str, resumed: bool) {
        let is_other = kind == Kind::Extension
            && self.filter_nack.as_ref().is_some_and(|nack| *nack.version != *version);
        if is_other || !resumed {
            self.filter_nack = None;
        }
    }

    /// The publications that it has reached since it was asked last, and since when it is here.
    /// `None` if there are none, or it refused something of them.
    pub(super) fn reached(&mut self) -> Option<(RangeInclusive<u64>, Timestamp)> {
        let synced = self.synced()?;
        if synced <= self.timed {
            return None;
        }
        let reached = self.timed.saturating_add(1)..=synced;
        self.timed = synced;
        let since = self.streams.iter().map(|stream| stream.since).min()?;
        self.refusal().is_none().then_some((reached, since))
    }

    /// How it stands, if it has any stream.
    pub(super) fn status(&self, fleet: &FleetName, node: &str) -> Option<NodeStatus> {
        let first = self.streams.first()?;
        let mut status = NodeStatus {
            node: node.to_owned(),
            fleet: fleet.clone(),
            connected: true,
            since: first.since,
            mode: first.mode,
            synced: self.synced().unwrap_or_default(),
            acked: BTreeMap::new(),
            refused: BTreeMap::new(),
            last_refusal: None,
        };
        for stream in &self.streams {
            status.acked.extend(stream.acked.clone());
            status.refused.extend(stream.refused.clone());
            let refusals = [status.last_refusal.take(), stream.last_refusal.clone()];
            status.last_refusal = refusals.into_iter().flatten().max_by_key(|(_, nack)| nack.at);
        }
        if let Some(nack) = &self.filter_nack {
            status.refused.entry(Kind::Extension).or_insert_with(|| nack.clone());
            status.last_refusal.get_or_insert_with(|| (Kind::Extension, nack.clone()));
        }
        Some(status)
    }
}
