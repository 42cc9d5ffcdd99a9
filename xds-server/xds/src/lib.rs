//! The core of the xDS server, without I/O, clock or async runtime.
//!
//! [`resources`] builds encoded resources and versioned snapshots from the delivery state and the [`mesh`]. [`protocol`] is
//! the state machine of one stream: its input are requests and snapshots, its output responses and events. The caller
//! transports the messages, passes every new snapshot to every session, and records the events.
#![forbid(unsafe_code)]

pub mod kind;
pub mod mesh;
pub mod protocol;
pub mod resources;
pub mod tokens;
