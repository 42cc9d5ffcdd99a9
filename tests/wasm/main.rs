//! The filter's release `.wasm` in a proxy-wasm host with injectable faults.
//!
//! The module is read from `dist/tidegate_filter.wasm` (`make build`), or from
//! `TIDEGATE_FILTER_WASM`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test, or in a test's helper, is a failed test with its line"
)]

mod configuration;
mod counting;
mod faults;
mod host;
mod istio;
mod reports;
mod routing;
mod support;
