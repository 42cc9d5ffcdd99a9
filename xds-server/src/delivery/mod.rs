//! The domain of delivery, pure: services, plans, releases, the events they leave, and the
//! reducer that turns commands and observations into events. No I/O, no clock, no randomness.

pub mod catalogue;
pub mod command;
pub mod dns;
pub mod event;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod fold;
pub mod hook;
mod merge;
pub mod names;
pub mod placement;
pub mod plan;
pub mod progress;
pub mod reducer;
pub mod release;
pub mod state;
pub mod units;
