//! The journal of the real program: read by auditors, and hit by what goes wrong beneath it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

mod audit;
mod faults;
mod golden;
mod support;
