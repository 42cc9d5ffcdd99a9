//! The domain of delivery, pure: services, plans, releases, the events they leave, and the
//! reducer that turns commands and observations into events. No I/O, no clock, no randomness.

pub mod catalogue;
pub mod checks;
pub mod command;
pub mod commit;
pub mod configuration;
pub mod dns;
pub mod event;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod fold;
pub mod freeze;
pub mod group;
pub mod health;
pub mod hook;
pub mod machine;
mod merge;
pub mod names;
pub mod placement;
pub mod plan;
pub mod progress;
pub mod reducer;
pub mod release;
pub mod requires;
pub mod signals;
pub mod state;
pub mod units;
mod words;
