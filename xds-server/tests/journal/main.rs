//! The real program: its journal, its commands, and faults of the disk.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

mod audit;
mod commands;
mod faults;
mod golden;
mod operation;
mod support;
