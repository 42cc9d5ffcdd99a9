//! The judge: request counts and guardrails in, a [`Verdict`] out.
//!
//! [`guardrails`] are the limits, [`statistics`] the e-values, [`history`] what is known of stable, [`windows`] the counts of
//! a step and of the last seconds. A [`ReleaseJudge`] holds the evidence of one release, and [`assess`] makes its verdict.

mod assess;
mod bound;
mod evidence;
mod guardrail;
pub mod guardrails;
pub mod history;
mod limits;
mod release;
pub mod sequential_test;
pub mod statistics;
mod verdict;
pub mod version_watch;
pub mod windows;

#[cfg(test)]
mod tests;

pub use self::evidence::{Business, Evidence, ResourceSamples, ResourceUse, Share, SlowRequests};
pub use self::guardrail::{Guardrail, GuardrailError};
pub use self::release::{Counted, ReleaseJudge};
pub use self::verdict::{EValue, Finding, FirstFailures, Level, Limit, RatioInterval, Verdict};
