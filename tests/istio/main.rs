//! Envoys with the resources that Istio's control plane sends, and `tidegate serve`, which reaches them only by the responses
//! to their reports.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test, or in a test's helper, is a failed test with its line"
)]

mod ads;
mod forgery;
mod inbound;
mod mesh;
mod proxy;
mod releases;
mod resource;
mod silence;
mod steady;
mod trap;
