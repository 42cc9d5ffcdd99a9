//! Plans: canary and blue/green are two ways to write one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::{Ppm, millis};

/// The way a release goes from its stable version to its candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How it was written; for people, the engine treats both alike.
    pub strategy: Strategy,
    /// At least one; weights never fall, and the last is 100 %.
    pub steps: Vec<Step>,
    /// How long the candidate is watched at 100 % before the release is complete.
    #[serde(with = "millis")]
    pub watch: Duration,
    /// Sent to the candidate before it gets any traffic; all must pass.
    #[serde(default)]
    pub smoke_tests: Vec<SmokeTest>,
}

/// The two ways to write a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Step by step.
    Canary,
    /// All at once.
    BlueGreen,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The candidate's share.
    pub weight: Ppm,
    /// The least time that it holds.
    #[serde(with = "millis")]
    pub time: Duration,
    /// The least number of requests that the candidate must have served in it.
    pub min_requests: u64,
}

/// One HTTP request and what its answer must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmokeTest {
    /// Path and query, beginning with `/`.
    pub path: String,
    /// The status that is expected.
    pub expect: u16,
}
