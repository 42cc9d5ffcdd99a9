//! The sidecars and their ACK state.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::controller::DeliveryView;
use crate::xds::fleet::{self, Channel, NodeStatus};
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::sample_ratio::SampleRatio;
use tidegate_delivery::names::{FleetName, ServiceName};
use tidegate_delivery::units::{Timestamp, rfc3339};
use tidegate_xds::kind::{Kind, Mode};

/// The sidecars by their state for the configuration of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvergenceView {
    /// Sidecars that ACKed it, and have no NACK.
    pub acked: u32,
    /// Connected sidecars.
    pub connected: u32,
    /// Sidecars with a NACK of a resource that they should have.
    pub nacked: u32,
    /// The NACKs of the first few of them.
    pub nacks: Vec<NodeNack>,
    /// Sidecars that sent neither an ACK nor a NACK yet.
    pub pending: u32,
    /// The names of the first few of them.
    pub pending_nodes: Vec<String>,
    /// Sidecars that have the filter and do not report.
    pub silent: u32,
    /// The names of the first few of them.
    pub silent_nodes: Vec<String>,
    /// The sidecars whose share of requests to the candidate is far from its weight.
    #[serde(default, skip_serializing_if = "SampleRatio::is_empty")]
    pub sample_ratio: SampleRatio,
    /// The median of the time to ACK; absent if it is not known.
    pub p50_ms: Option<u64>,
    /// Its 99th percentile.
    pub p99_ms: Option<u64>,
}

/// A NACK of one sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeNack {
    /// Envoy's `node.id`.
    pub node: String,
    /// The resource type.
    pub r#type: String,
    /// Envoy's message, truncated.
    pub message: String,
}

/// A sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Envoy's `node.id`.
    pub id: String,
    /// Envoy's `node.cluster`.
    pub fleet: FleetName,
    /// False for one that disconnected recently.
    pub connected: bool,
    /// When it connected or disconnected.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// The xDS variant, `delta` or `sotw`; `reports` if responses to reports carry its configuration.
    pub mode: String,
    /// True if it ACKed the newest snapshot and has no NACK.
    pub synced: bool,
    /// The version that it ACKed last, by resource type.
    pub acked: BTreeMap<String, String>,
    /// NACKs of resources that it should have, by resource type.
    pub nacks: BTreeMap<String, Nack>,
    /// The number of snapshots published since the one that it has.
    pub snapshots_behind: u64,
    /// Its newest NACK, even if it has ACKed a later version.
    pub last_nack: Option<LastNack>,
    /// The version of its filter; absent until it has reported.
    pub filter_version: Option<String>,
    /// When its filter reported last; absent if it has not since it connected.
    #[serde(default, with = "rfc3339::option")]
    pub last_report: Option<Timestamp>,
    /// True if it has the filter and does not report: its requests are not judged.
    pub silent: bool,
    /// Services whose release it sends a share far from the weight; empty unless it is one of those that are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub off_weight: Vec<ServiceName>,
    /// Its reports; absent with an xDS variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporting: Option<Reporting>,
}

/// The reports of a sidecar of an Istio mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reporting {
    /// The instances of its filter that report: one for each thread of its Envoy.
    pub instances: u32,
    /// The instances that have stopped reporting while others report.
    pub silent: u32,
}

/// The newest NACK of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastNack {
    /// The resource type.
    pub r#type: String,
    #[serde(flatten)]
    pub nack: Nack,
}

/// A NACK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nack {
    /// The rejected version.
    pub version: String,
    /// Envoy's message.
    pub message: String,
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}

impl Node {
    /// A sidecar, compared with the newest snapshot and the running releases.
    pub(in crate::api) fn of(node: NodeStatus, view: &DeliveryView) -> Self {
        let serial = view.serial;
        let off_weight = off_weight(&node.node, view).collect();
        let labelled = |(kind, nack): (Kind, fleet::Nack)| {
            let fleet::Nack { version, message, at } = nack;
            (kind.label().to_owned(), Nack { version, message, at })
        };
        let synced = is_synced(&node, serial);
        let (mode, reporting) = match node.channel {
            Channel::Xds(Mode::Sotw) => ("sotw", None),
            Channel::Xds(Mode::Delta) => ("delta", None),
            Channel::Reports(fleet::Reporting { instances, silent }) => {
                ("reports", Some(Reporting { instances, silent }))
            }
        };
        let acked = node.acked.into_iter();
        let last_nack = node.last_nack.map(labelled);
        Self {
            id: node.node,
            fleet: node.fleet,
            connected: node.connected,
            since: node.since,
            mode: mode.to_owned(),
            synced,
            acked: acked.map(|(kind, version)| (kind.label().to_owned(), version)).collect(),
            nacks: node.nacks.into_iter().map(labelled).collect(),
            snapshots_behind: serial.saturating_sub(node.synced),
            last_nack: last_nack.map(|(r#type, nack)| LastNack { r#type, nack }),
            filter_version: node.filter_version.map(|version| version.to_string()),
            last_report: node.last_report,
            silent: node.silent,
            off_weight,
            reporting,
        }
    }
}

/// The services whose release has the sidecar among those that are far from the weight.
fn off_weight(node: &str, view: &DeliveryView) -> impl Iterator<Item = ServiceName> {
    let running = view.progress.iter().filter(move |(_, progress)| {
        let ratio = &progress.observation.convergence.sample_ratio;
        ratio.sidecars.iter().any(|it| it.node == node)
    });
    running.filter_map(|(id, _)| id.service().parse().ok())
}

/// Whether a sidecar ACKed the snapshot `serial` and has no NACK.
pub(in crate::api) fn is_synced(node: &NodeStatus, serial: u64) -> bool {
    node.synced >= serial && node.nacks.is_empty()
}

impl From<&Convergence> for ConvergenceView {
    fn from(seen: &Convergence) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let nacks = seen.nacks.iter().map(|it| NodeNack {
            node: it.node.clone(),
            r#type: it.resource.clone(),
            message: it.message.clone(),
        });
        Self {
            acked: seen.acked,
            connected: seen.connected,
            nacked: seen.nacked,
            nacks: nacks.collect(),
            pending: seen.pending(),
            pending_nodes: seen.lagging.clone(),
            silent: seen.silent,
            silent_nodes: seen.silent_nodes.clone(),
            sample_ratio: seen.sample_ratio.clone(),
            p50_ms: seen.times.map(|times| ms(times.p50)),
            p99_ms: seen.times.map(|times| ms(times.p99)),
        }
    }
}
