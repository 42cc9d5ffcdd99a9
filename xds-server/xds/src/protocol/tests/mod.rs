//! Tests of the protocol, in the order of the conformance checklist: see `tests/conformance/table.rs`.

mod answers;
mod limits;
mod model;
mod sequencing;
mod status;
mod subscriptions;
mod support;
