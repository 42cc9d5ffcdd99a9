//! Resources from state: what Envoy is told, one file for each kind, and the snapshots they make.
//!
//! Everything here is a pure function of the state and the mesh's configuration. The
//! [`SnapshotCache`] runs it.

mod cache;
mod cluster;
mod endpoint;
mod extension;
mod listener;
mod mix;
mod names;
mod part;
mod preview;
mod resource;
mod route;
mod service;
mod snapshot;
#[cfg(test)]
mod tests;

pub use cache::SnapshotCache;
pub use endpoint::empty_assignment;
pub use names::CONTROL_PLANE_CLUSTER;
pub use names::PREVIEW_HEADER;
pub use part::Part;
pub use preview::NOT_HERE;
pub(crate) use resource::version_of;
pub use resource::{Name, Need, Resource};
pub use snapshot::{Collection, FleetSnapshot, SnapshotSet};

use prost::Message;
use tidegate_proto::envoy::google::protobuf::{Any, Duration, UInt32Value};

/// A message in an `Any`.
fn pack<M: Message + prost::Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

const fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

const fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}
