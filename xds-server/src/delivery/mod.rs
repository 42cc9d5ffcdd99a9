//! The domain of delivery, pure: services, plans, releases, the events they leave, and the
//! reducer that turns commands and observations into events. No I/O, no clock, no randomness.

pub mod catalogue;
pub mod command;
pub mod event;
pub mod names;
pub mod plan;
pub mod progress;
pub mod release;
pub mod state;
pub mod units;
