//! The resources of one sidecar.

use serde::{Deserialize, Serialize};

use super::Node;
use crate::xds::fleet::{Inspection, TypeReport};
use tidegate_delivery::units::{Timestamp, rfc3339};
use tidegate_xds::kind::Kind;
use tidegate_xds::protocol::{ResourceStatus, SyncState};

/// A sidecar with its resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDetail {
    #[serde(flatten)]
    pub node: Node,
    /// The resource types, in the order of a push.
    pub types: Vec<TypeState>,
    /// The number of its streams that did not answer the inquiry: the sidecar does not read from them.
    pub silent_streams: usize,
}

/// One resource type of a sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeState {
    pub r#type: String,
    /// The newest response; absent if there was none.
    pub pushed: Option<Pushed>,
    /// The resources that it subscribes to.
    pub resources: Vec<ResourceState>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    pub version: String,
    /// When it was sent.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// When the ACK or NACK arrived.
    #[serde(default, with = "rfc3339::option")]
    pub answered: Option<Timestamp>,
}

/// One resource that a sidecar subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceState {
    pub name: String,
    pub state: SyncState,
    /// The version that was sent last; absent if none was, or if its removal was sent.
    pub sent: Option<String>,
    /// The version that was ACKed last.
    pub acked: Option<String>,
}

impl NodeDetail {
    /// A sidecar with the state of its streams.
    pub(in crate::api) fn of(node: Node, inspection: Inspection) -> Self {
        let streams = inspection.streams.into_iter();
        let mut types: Vec<_> = streams.flat_map(|stream| stream.types).collect();
        types.sort_by_key(|(kind, _)| *kind);
        Self {
            node,
            types: types.into_iter().map(TypeState::from).collect(),
            silent_streams: inspection.silent,
        }
    }
}

impl From<(Kind, TypeReport)> for TypeState {
    fn from((kind, report): (Kind, TypeReport)) -> Self {
        Self {
            r#type: kind.label().to_owned(),
            pushed: report.pushed.map(|push| Pushed {
                version: push.version.into(),
                at: push.at,
                answered: push.answered,
            }),
            resources: report.holdings.into_iter().map(ResourceState::from).collect(),
        }
    }
}

impl From<ResourceStatus> for ResourceState {
    fn from(holding: ResourceStatus) -> Self {
        Self {
            name: holding.name.to_string(),
            state: holding.state,
            sent: holding.sent.map(Into::into),
            acked: holding.acked.map(Into::into),
        }
    }
}
