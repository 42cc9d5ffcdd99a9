//! The sidecars and their ACK state.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::xds::fleet::{Nack, NodeStatus};
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::names::FleetName;
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::{Kind, Mode};

/// How many sidecars have what was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvergenceView {
    /// Sidecars that acknowledged it, and refuse nothing.
    pub acked: u32,
    /// Sidecars that are connected.
    pub connected: u32,
    /// Sidecars that refuse something that they are meant to have.
    #[serde(default)]
    pub refusing: u32,
    /// What was refused: the first few sidecars, by name.
    #[serde(default)]
    pub refused: Vec<RefusedBy>,
    /// Sidecars that neither acknowledged nor refused it yet.
    #[serde(default)]
    pub behind: u32,
    /// The first few of them, by name.
    #[serde(default)]
    pub lagging: Vec<String>,
    /// How long half of the sidecars took to acknowledge it, at most; absent if that is not known.
    #[serde(default)]
    pub p50_ms: Option<u64>,
    /// How long ninety-nine of a hundred took, at most.
    #[serde(default)]
    pub p99_ms: Option<u64>,
}

/// What one sidecar refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedBy {
    /// The sidecar's name.
    pub node: String,
    /// The type of resource.
    pub r#type: String,
    /// Why, in the sidecar's own words, clipped.
    pub message: String,
}

/// One sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Envoy's `node.id`.
    pub id: String,
    /// Envoy's `node.cluster`.
    pub fleet: FleetName,
    /// False for one that left lately.
    pub connected: bool,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: Timestamp,
    /// How it speaks xDS: `delta` or `sotw`.
    pub mode: String,
    /// True if it answered all that is published now, and refuses nothing of it.
    pub synced: bool,
    /// The version that it accepted last, by type of resource.
    pub acked: BTreeMap<String, String>,
    /// What it refused and is still meant to have, by type of resource.
    pub refused: BTreeMap<String, Refused>,
    /// How many publications it is behind: 0 if it answered all that is published now.
    #[serde(default)]
    pub behind: u64,
    /// What it refused last, even if it has accepted better since.
    #[serde(default)]
    pub last_refusal: Option<LastRefusal>,
}

/// What a sidecar refused last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefusal {
    /// The type of resource.
    pub r#type: String,
    /// What and why.
    #[serde(flatten)]
    pub refused: Refused,
}

/// What a sidecar refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The version that it was sent.
    pub version: String,
    /// Why, in its own words.
    pub message: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: Timestamp,
}

impl Node {
    /// A sidecar, while `serial` is what is published.
    pub(in crate::api) fn of(node: NodeStatus, serial: u64) -> Self {
        let refused = |(kind, nack): (Kind, Nack)| {
            let Nack { version, message, at } = nack;
            (kind.label().to_owned(), Refused { version, message, at })
        };
        let synced = has_all(&node, serial);
        let acked = node.acked.into_iter();
        let last_refusal = node.last_refusal.map(refused);
        Self {
            id: node.node,
            fleet: node.fleet,
            connected: node.connected,
            since: node.since,
            mode: match node.mode {
                Mode::Sotw => "sotw".to_owned(),
                Mode::Delta => "delta".to_owned(),
            },
            synced,
            acked: acked.map(|(kind, version)| (kind.label().to_owned(), version)).collect(),
            refused: node.refused.into_iter().map(refused).collect(),
            behind: serial.saturating_sub(node.synced),
            last_refusal: last_refusal.map(|(r#type, refused)| LastRefusal { r#type, refused }),
        }
    }
}

/// Whether a sidecar has all that is published.
pub(in crate::api) fn has_all(node: &NodeStatus, serial: u64) -> bool {
    node.synced >= serial && node.refused.is_empty()
}

impl From<&Convergence> for ConvergenceView {
    fn from(seen: &Convergence) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let refused = seen.nacks.iter().map(|it| RefusedBy {
            node: it.node.clone(),
            r#type: it.resource.clone(),
            message: it.message.clone(),
        });
        Self {
            acked: seen.acked,
            connected: seen.connected,
            refusing: seen.nacked,
            refused: refused.collect(),
            behind: seen.pending(),
            lagging: seen.lagging.clone(),
            p50_ms: seen.times.map(|times| ms(times.p50)),
            p99_ms: seen.times.map(|times| ms(times.p99)),
        }
    }
}
