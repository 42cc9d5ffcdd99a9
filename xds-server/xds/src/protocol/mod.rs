//! The xDS transport protocol as a state machine without I/O, clock or randomness.
//!
//! A [`Session`] is the server side of one stream. It stores per resource type what the client subscribed to
//! (`subscription`), and per resource what was sent, ACKed or NACKed (`entry`). Both are compared with the newest snapshot
//! whenever a response is requested, so the session is level-triggered: a slow client costs one dirty mark per type, has
//! at most one unanswered response per type, and receives the latest content next.
//!
//! # Use
//!
//! The caller owns the transport, in a loop over its inputs:
//!
//! 1. Create the session when the first request has named the node, with the newest snapshot of the node's fleet.
//! 2. Pass each request of the stream to [`Session::on_request`], in the order of arrival. On a [`ProtocolError`] end the
//!    stream with it; the session must not be used afterwards.
//! 3. Pass each newer snapshot of the fleet to [`Session::on_snapshot`]. Snapshots may be skipped, but their serial must
//!    not decrease.
//! 4. After each of these calls, call [`Session::next_response`] until it returns `None`, and send the responses in this
//!    order. A response that was returned counts as sent: if it cannot be sent, end the stream. New snapshots may be passed
//!    between two responses.
//! 5. After that, process [`Session::drain_events`] and [`Session::synced`]. The order of events is that of the requests.
//!
//! A reconnection is a new session. Nothing is carried over: the first request of each type contains what the client holds.
//!
//! # Parts
//!
//! `sequencing` holds back resources for make before break. `variant` is the interface between the session and the two
//! protocol variants, state of the world (`sotw`) and incremental (`delta`), which differ in how names are subscribed and
//! how a response is composed. `resource_status` derives the status per resource, for inspection only.

mod delta;
mod entry;
mod message;
mod resource_status;
mod sequencing;
mod session;
mod sotw;
mod subscription;
#[cfg(test)]
mod tests;
mod type_state;
mod variant;

pub use delta::{Delta, DeltaNames};
pub use message::{Event, ProtocolError, Request, Response, Scope};
pub use resource_status::{ResourceStatus, SyncState};
pub use session::Session;
pub use sotw::{Sotw, SotwNames};
pub use variant::Variant;
