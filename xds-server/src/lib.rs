//! Tidegate's control plane, as a library: `main.rs` only parses, wires and runs it.
//!
//! The data flows one way: commands and reports → [`controller`] → journal → state →
//! snapshot → ADS streams → Envoy. See ARCHITECTURE.md.
#![forbid(unsafe_code)]

pub mod api;
pub mod auth;
pub mod clock;
pub mod config;
pub mod controller;
pub mod effects;
pub mod files;
pub mod flags;
pub mod istio;
pub mod journal;
pub mod metrics;
pub mod notifications;
pub mod rejections;
pub mod reload;
pub mod root_cause;
pub mod sidecars;
pub mod telemetry;
pub mod transport;
pub mod xds;
