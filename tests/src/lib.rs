//! tests

pub mod wasm_host;
