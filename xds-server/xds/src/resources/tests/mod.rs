//! Tests of resources and snapshots.

mod fixtures;
mod publishing;
mod resources;
mod routing;
