//! Computations that sidecar and server must agree on: buckets, flag rules, business metrics,
//! histograms, reports.
//!
//! No function does I/O, reads a clock or draws random numbers: time and randomness are arguments.
//! The golden vectors of `tests/wasm.rs` therefore hold natively and in WASM.

#![forbid(unsafe_code)]

pub mod bucket;
pub mod business;
pub mod config;
pub mod exclusion;
pub mod flags;
pub mod histogram;
pub mod host;
pub mod in_flight;
pub mod orca;
pub mod outcome;
pub mod report;
pub mod routing;
mod sparse;
pub mod upstream;
pub mod utilization;
pub mod version;
