//! The filter's real `.wasm`, in a host that behaves as badly as a host can.
//!
//! Needs the module: `make filter`, or `TIDEGATE_FILTER_WASM=path`.

mod configuration;
mod counting;
mod faults;
mod reports;
mod routing;
mod support;
