//! Tests of resources and snapshots.

mod check;
mod fixtures;
mod istio;
mod publishing;
mod resources;
mod routing;
