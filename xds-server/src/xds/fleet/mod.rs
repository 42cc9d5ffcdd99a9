//! The fleet as it is: which sidecars are connected, what each acknowledged, and what it refused.

mod ledger;
mod node;

pub use ledger::{Connection, Ledger};
pub use node::{Nack, NodeStatus};
