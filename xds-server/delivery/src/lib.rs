//! Progressive delivery as pure functions: no I/O, no clock, no randomness, no async runtime.
//!
//! Five layers, each of which imports only from those before it:
//!
//! 1. [`names`] and [`units`]: validated names, shares in parts per million, timestamps.
//! 2. [`judge`]: request counts and guardrails in, a verdict out.
//! 3. [`model`]: the data of delivery and its validation; [`fold`]: the state, as the fold over the events.
//! 4. [`changes`]: two states in, what differs for users out.
//! 5. [`reducer`]: commands and observations in, events out. [`figures`] is a second fold, for the delivery figures.
//!
//! The caller appends the events of a decision to its journal before it folds them into the state, and folds them
//! before it decides again. Times and counts are arguments, so the same journal and the same reports lead to the same
//! decisions.
#![forbid(unsafe_code)]

pub mod changes;
pub mod figures;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod fold;
pub mod judge;
pub mod model;
pub mod names;
pub mod reducer;
pub mod text;
pub mod units;
