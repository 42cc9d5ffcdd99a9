//! Simulated releases: random counts on a virtual clock, through the reducer and the judge of the control plane.
//!
//! A [`scenario::Scenario`] describes traffic and behaviour, [`traffic`] draws the counts of each report, [`run`] decides on
//! them, [`outcome`] is the result of one, [`summary`] counts those of many, [`svg`] draws one. Nothing here reads a clock or does I/O; a run
//! depends on its seed alone.
//!
//! Not simulated: sidecars (every step converges at once), smoke tests, health checks, required checks, approvals, hooks,
//! freezes, resource use, business metrics and queries.
#![expect(clippy::cast_precision_loss, reason = "counts of a simulation are far below 2^52")]

pub mod outcome;
pub mod replay;
pub mod run;
pub mod scenario;
pub mod summary;
pub mod svg;
mod text;
pub mod traffic;
