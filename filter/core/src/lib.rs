//! What sidecar and server must compute alike: buckets, flag rules, business metrics, histograms,
//! reports.
//!
//! Nothing here does I/O, reads a clock or draws a random number, so the same vectors pass
//! natively and in WASM.
#![forbid(unsafe_code)]

pub mod bucket;
pub mod business;
pub mod config;
pub mod flags;
pub mod histogram;
pub mod load;
pub mod outcome;
pub mod report;
pub mod routing;
mod sparse;
pub mod utilization;
