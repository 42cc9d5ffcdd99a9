//! The harness of the demo, the end-to-end tests and the benches: real processes and sockets, all of which end with the
//! test process.
//!
//! [`World`] owns backends, control plane and Envoys, connected to each other.

pub mod backends;
pub mod binaries;
pub mod control_plane;
pub mod distribution;
pub mod envoy;
pub mod ports;
pub mod process;
pub mod receiver;
pub mod stats;
pub mod status;
pub mod story;
pub mod wait;
mod watchdog;
pub mod world;
pub mod world_config;

pub use self::world::{World, WorldOptions};
