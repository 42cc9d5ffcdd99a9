//! xDS: distribution of configuration to the sidecars, and tracking of their ACKs.
//!
//! [`tidegate_xds::resources`] encodes the state as resources, [`tidegate_xds::protocol`] selects the responses of one
//! client, [`serve`] carries them over gRPC, and [`fleet`] tracks ACKs and NACKs. Data flows one way: state →
//! [`publisher::Publisher`] → `watch` → the task of each stream → Envoy.

#[cfg(feature = "test-adapter")]
pub mod adapter;
pub mod bootstrap;
pub mod debug;
pub mod fleet;
pub mod metrics;
pub mod publisher;
pub mod serve;
pub mod upstream_tls;
