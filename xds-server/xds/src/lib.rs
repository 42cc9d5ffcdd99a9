//! xDS as pure functions: no I/O, no clock, no async runtime.
//!
//! [`resources`] turns the delivery state and the [`mesh`] into encoded resources and versioned snapshots. [`protocol`]
//! is one stream's conversation with its client: requests and snapshots in, responses and events out. The caller carries
//! the messages, hands every new snapshot to every session, and records the events.
#![forbid(unsafe_code)]

pub mod kind;
pub mod mesh;
pub mod protocol;
pub mod resources;
