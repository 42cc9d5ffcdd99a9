//! The filter's real `.wasm`, in a host that behaves as badly as a host can.
//!
//! Needs the module: `make build` leaves it where it is looked for; `TIDEGATE_FILTER_WASM` names another.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test, or in a test's helper, is a failed test with its line"
)]

mod configuration;
mod counting;
mod faults;
mod host;
mod reports;
mod routing;
mod support;
