//! Tidegate's Envoy filter: a proxy-wasm shell around `tidegate-core`.
//!
//! Each Envoy thread runs its own VM. A VM has a root context for each configuration that still has
//! requests in flight, and an HTTP context for each request. Counts belong to the VM rather than to
//! a root, so they survive configuration changes.
//!
//! The module is built for `wasm32-unknown-unknown`, on which the core's golden vectors run too. It
//! is smaller than a WASI module and imports two WASI functions, see [`host::random`] and
//! [`host::monotonic`].

#![expect(missing_docs, reason = "the SDK's macro exports an undocumented function")]

mod config;
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
