//! The harness of the demo, the end-to-end tests and the benches: real processes, real sockets, nothing left behind.
//!
//! [`World`] is the whole of it in one value: backends, control plane and Envoys, wired to each other.

pub mod backends;
pub mod binaries;
pub mod control_plane;
pub mod envoy;
pub mod ports;
pub mod process;
pub mod receiver;
pub mod sight;
pub mod spread;
pub mod stats;
pub mod story;
pub mod wait;
mod watchdog;
pub mod world;
pub mod world_config;

pub use self::world::{World, WorldOptions};
