//! The xDS protocol without I/O: requests and snapshots in, responses and events out.
//!
//! A [`Session`] serves one stream. It remembers what its client subscribed to (`subscription`),
//! what it holds and has answered (`ack`), and compares that with the newest snapshot whenever
//! it is asked for the next response. So it is level-triggered: a slow client costs a mark, never
//! a queue, and always gets the latest. `order` says what must wait for what. State of the world
//! (`sotw`) and delta (`delta`) differ only in how names are subscribed and how a response is
//! put together.

mod ack;
mod delta;
mod dialect;
mod holding;
mod message;
mod order;
mod session;
mod sotw;
mod subscription;
#[cfg(test)]
mod tests;
mod watch;

pub use delta::{Delta, DeltaNames};
pub use dialect::Dialect;
pub use holding::{Holding, HoldingState};
pub use message::{Event, Refusal, Request, Response, Scope};
pub use session::Session;
pub use sotw::{Sotw, SotwNames};
