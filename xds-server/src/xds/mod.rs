//! xDS: how what was decided reaches the sidecars, and how it is known that it did.
//!
//! [`tidegate_xds::resources`] turns the state into encoded resources, [`tidegate_xds::protocol`] decides what one client is
//! sent next, [`serve`] carries both over gRPC, and [`fleet`] remembers who acknowledged what.
//! Data goes one way: state → [`publisher::Publisher`] → `watch` → one task a stream → Envoy.

#[cfg(feature = "test-adapter")]
pub mod adapter;
pub mod bootstrap;
pub mod debug;
pub mod fleet;
pub mod publisher;
pub mod serve;
pub mod upstream_tls;
