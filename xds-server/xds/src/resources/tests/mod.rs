//! Tests of resources and snapshots.

mod check;
mod fixtures;
mod publishing;
mod resources;
mod routing;
