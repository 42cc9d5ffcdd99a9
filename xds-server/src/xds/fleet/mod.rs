//! The fleet as it is: which sidecars are connected, what each acknowledged, and what it refused.
//!
//! Every NACK counts. An Envoy that fetches the filter's module itself may refuse it once while it
//! does so, but only if its configuration asks for that (`nack_on_code_cache_miss`), and Tidegate's
//! never does: its module is a file beside the sidecar. So a refusal of the filter is a real one.

mod ack_tracker;
mod inspect;
mod node;
mod tally;
mod times;

pub use ack_tracker::{AckTracker, Connection};
pub use inspect::{Inquiry, Inspection, Push, StreamReport, TypeReport};
pub use node::{Nack, NodeStatus};
