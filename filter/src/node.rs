//! Who we are: the Envoy that this VM runs in, and the VM within it.

use prost::Message as _;
use tidegate_core::report::Reporting;

use crate::host::{self, property};

/// The longest node id that reports may bear.
const MAX_NODE_ID: usize = 256;

/// The one field we want of `envoy.config.core.v3.Node`; unknown fields are skipped.
#[derive(Clone, PartialEq, prost::Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
}

/// Reads the node's id, and draws the number of this instance.
///
/// An Envoy without a usable id reports under its instance's number: its requests count all the same.
pub(crate) fn identify() -> Reporting {
    let instance = u64::from_le_bytes(first_half(random()));
    let node = host::property(property::NODE).ok().flatten();
    let node_id = node
        .and_then(|bytes| Node::decode(bytes.as_slice()).ok())
        .map(|node| node.id)
        .filter(|id| (1..=MAX_NODE_ID).contains(&id.len()))
        .unwrap_or_else(|| format!("unnamed-{instance:016x}"));
    Reporting { node_id, instance }
}

/// Random bytes; the clock's, spread by a hash, if the host has none to give.
pub(crate) fn random() -> [u8; 16] {
    host::random().unwrap_or_else(|_| {
        let nanos = host::now().unwrap_or_default().as_nanos();
        // An odd multiplier only permutes, so different times stay different.
        nanos.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
    })
}

const fn first_half(bytes: [u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    [a, b, c, d, e, f, g, h]
}
