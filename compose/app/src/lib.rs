//! The demo's two programs as a library, so that a test can host a dozen services and a load in one process:
//! [`service`] answers requests and says which version answered, with [`faults`] that can be set while it runs;
//! [`load`] asks at a constant rate, whatever the answers do, and counts what came back from whom.

pub mod faults;
pub mod load;
pub mod service;
