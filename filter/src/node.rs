//! Identity of the reporter (Envoy node and filter instance), and random numbers.

use prost::Message as _;
use tidegate_core::report::ReporterId;

use crate::host::{self, property};

/// Limit of `node_id` in reports, in bytes.
const MAX_NODE_ID: usize = 256;

/// The fields of `envoy.config.core.v3.Node` that are read.
#[derive(Clone, PartialEq, prost::Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
}

/// Reads the node id and draws the instance number. Without a valid node id, one is derived from
/// the instance number, so that the requests are counted.
pub(crate) fn reporter_id() -> ReporterId {
    let instance = u64::from_le_bytes(first_half(random()));
    let node = host::property(property::NODE).ok().flatten();
    let node_id = node
        .and_then(|bytes| Node::decode(bytes.as_slice()).ok())
        .map(|node| node.id)
        .filter(|id| (1..=MAX_NODE_ID).contains(&id.len()))
        .unwrap_or_else(|| format!("unnamed-{instance:016x}"));
    ReporterId { node_id, instance, filter_version: env!("CARGO_PKG_VERSION") }
}

/// Random bytes. If the host call fails, they are derived from the clock.
pub(crate) fn random() -> [u8; 16] {
    host::random().unwrap_or_else(|_| {
        let nanos = host::now().unwrap_or_default().as_nanos();
        // Multiplication by an odd number is a permutation, so different times yield different
        // bytes.
        nanos.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
    })
}

const fn first_half(bytes: [u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    [a, b, c, d, e, f, g, h]
}
