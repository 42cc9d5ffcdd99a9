//! The text of outcomes, blockers, findings, verdicts, rollback causes and refusals, for people: CLI, REST `message` and
//! `detail`, notifications. No decision depends on it; the journal and the JSON carry the values.

mod blockers;
mod causes;
mod changes;
mod configuration;
mod flags;
mod judge;
mod outcomes;
mod refusals;
mod sample_ratio;

pub use self::blockers::{blocker, blockers};
pub use self::changes::{lost, quoted};
pub use self::configuration::{allow_options, withheld};
pub use self::flags::flag_block;
