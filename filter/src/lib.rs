//! Tidegate's filter in Envoy: a thin proxy-wasm shell around `tidegate-core`.
//!
//! Each Envoy thread has its own VM. In it live one or more roots (one for each configuration that
//! still has requests in flight) and a context for each request. What is counted belongs to the VM,
//! not to a root, so that it outlives changes of configuration.
//!
//! The module is built for `wasm32-unknown-unknown`: smaller than for WASI, with one import beyond
//! the proxy's own ([`host::random`]), and the very target that the core's golden vectors run on.

#![expect(missing_docs, reason = "the SDK's macro exports a function without any")]

mod host;
mod log;
mod node;
mod root;
mod stream;
mod vm;

proxy_wasm::main! {{
    log::report_panics();
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
