//! Resources and snapshots, as pure functions of the delivery state and the mesh.
//!
//! [`SnapshotCache`] builds the snapshots, from the resources of each service (`service`): clusters and endpoints
//! (`cluster`), listeners, routes, the routes of preview listeners, and the filter's configuration (`extension`). A
//! [`Resource`] is encoded once and shared by all streams; its version is the hash of its content. [`check()`] builds what a
//! state would publish, and finds what sidecars would reject.

mod cache;
mod check;
mod cluster;
mod extension;
mod istio;
mod listener;
mod names;
mod part;
mod partial_update;
mod preview;
mod resource;
mod route;
mod service;
mod snapshot;
#[cfg(test)]
mod tests;

pub use cache::SnapshotCache;
pub use check::{InvalidResource, InvalidResources, check, check_filters, check_flags};
pub use cluster::empty_assignment;
pub use names::PREVIEW_HEADER;
pub use part::Part;
pub use preview::NO_SUCH_VERSION;
pub(crate) use resource::version_of;
pub use resource::{Name, Resource, ResourceRef};
pub use snapshot::{Collection, EncodedConfig, FleetSnapshot, SnapshotSet};

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
