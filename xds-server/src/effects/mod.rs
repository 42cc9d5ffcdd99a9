//! What follows from decisions outside the sidecars. Effects watch the controller's view and ask
//! it for things like anybody else; none of them can hold it up.
//!
//! All are level-triggered: what is to be done is read from the state, so that a restart goes on
//! where the last run stopped. What was done comes back as a command, and becomes an event.

mod changes;
mod deliver;
pub mod dns;
#[cfg(test)]
mod fakes;
pub mod health;
pub mod hooks;
pub mod notify;
mod outbound;
mod pace;
mod secret;
mod signature;
pub mod smoke;
mod under_way;

pub use self::outbound::{Outbound, TlsError};
pub use self::pace::Pace;
