//! xDS: how what was decided reaches the sidecars, and how it is known that it did.
//!
//! [`resources`] turns the state into encoded resources, [`protocol`] decides what one client is
//! sent next, [`serve`] carries both over gRPC, and [`fleet`] remembers who acknowledged what.
//! Data goes one way: state → [`resources::Publisher`] → `watch` → one task a stream → Envoy.

#[cfg(feature = "test-adapter")]
pub mod adapter;
pub mod bootstrap;
pub mod counters;
pub mod debug;
pub mod fleet;
pub mod kind;
pub mod protocol;
pub mod resources;
pub mod serve;
pub mod upstream_tls;
