//! One sidecar, as its streams tell.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::delivery::names::FleetName;
use crate::delivery::units::Timestamp;
use crate::xds::kind::{Kind, Mode};
use crate::xds::protocol::Event;

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
    synced: u64,
    acked: BTreeMap<Kind, String>,
    refused: BTreeMap<Kind, Nack>,
}

impl Stream {
    pub(super) const fn new(id: u64, mode: Mode, since: Timestamp) -> Self {
        Self { id, since, mode, synced: 0, acked: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Notes what became known.
    pub(super) fn record(&mut self, event: Event, at: Timestamp) {
        match event {
            Event::Acked { kind, version } => {
                self.acked.insert(kind, version.into());
            }
            Event::Nacked { kind, version, message } => {
                let version = version.into();
                self.refused.insert(kind, Nack { version, message, at });
            }
            Event::Cleared { kind } => {
                self.refused.remove(&kind);
            }
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
}

impl Node {
    /// The newest publication that every stream of it has answered in full; `None` if it has no
    /// stream.
    pub(super) fn synced(&self) -> Option<u64> {
        self.streams.iter().map(|stream| stream.synced).min()
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
        };
        for stream in &self.streams {
            status.acked.extend(stream.acked.clone());
            status.refused.extend(stream.refused.clone());
        }
        Some(status)
    }
}
