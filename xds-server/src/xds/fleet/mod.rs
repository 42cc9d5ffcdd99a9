//! The state of the sidecars: connections, ACKs, NACKs, the time to ACK, and whether they report.
//!
//! Every NACK counts. Envoy NACKs a filter once while it downloads the module if `nack_on_code_cache_miss` is set. Tidegate
//! does not set it, and configures the module as a local file, so a NACK of the filter is an error.

mod ack_tracker;
mod inspect;
mod node;
mod report_coverage;
pub mod reporters;
mod reporting;
mod silence;
mod sync_counts;
mod times;

pub use ack_tracker::{AckTracker, Connection};
pub use inspect::{Inquiry, Inspection, Push, StreamReport, TypeReport};
pub use node::{Channel, Nack, NodeStatus, Reporting};
pub use reporting::ReceivedReport;
pub use silence::MISSED_INTERVALS;
pub use times::PublicationTimes;
