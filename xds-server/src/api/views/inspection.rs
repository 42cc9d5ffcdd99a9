//! The resources sent to one sidecar.

use serde::{Deserialize, Serialize};

use super::Node;
use crate::xds::fleet::{Inspection, TypeReport};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Kind;
use tidegate_xds::protocol::{ResourceStatus, SyncState};

/// One sidecar, with what it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDetail {
    /// The sidecar.
    #[serde(flatten)]
    pub node: Node,
    /// What it was sent, by type of resource, in the order of a push.
    pub types: Vec<TypeState>,
    /// Streams of it that could not be asked, because it does not read what it is sent.
    pub silent_streams: usize,
}

/// What a sidecar was sent of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeState {
    /// The type of resource.
    pub r#type: String,
    /// The newest response; absent if there was none.
    pub pushed: Option<Pushed>,
    /// The resources that it subscribes to.
    pub resources: Vec<ResourceState>,
}

/// A response that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Its version.
    pub version: String,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// When it was accepted or refused; absent if it was not yet.
    pub answered: Option<Timestamp>,
}

/// One resource that a sidecar subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceState {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: SyncState,
    /// The version that was sent last; absent if none was, or it was said to be gone.
    pub sent: Option<String>,
    /// The version that was accepted last.
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
