//! What sidecars are told, for states of every sort.

mod fixtures;
mod publishing;
mod resources;
mod routing;
