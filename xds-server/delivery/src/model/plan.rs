//! Plans of releases. Canary and blue/green are two ways to write a plan.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::holdback::{Holdback, MAX_HOLDBACK};
use crate::model::requirements::{Approvals, MAX_APPROVALS, Requirements};
use crate::units::{Ppm, millis};

/// Most steps of a plan.
pub const MAX_STEPS: usize = 100;
/// Most smoke tests of a plan.
pub const MAX_SMOKE_TESTS: usize = 20;
/// Longest path of a smoke test, in bytes.
pub const MAX_PATH: usize = 2048;

/// The steps of a release, and the conditions of its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How it was written. The engine does not distinguish them.
    pub strategy: Strategy,
    /// At least one; weights do not decrease, and the last is 100 %.
    pub steps: Vec<Step>,
    /// How long the candidate is watched in the last step before the release is complete.
    #[serde(with = "millis")]
    pub watch: Duration,
    /// What stays on stable meanwhile; absent: as by default. [`Plan::holdback`] is the value in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdback: Option<Holdback>,
    /// Requests to the candidate before it receives traffic; all must succeed.
    pub smoke_tests: Vec<SmokeTest>,
    /// The health check of the candidate's instances before it receives traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// The share of sidecars that must ACK a step before it begins.
    pub convergence: ConvergenceThreshold,
    /// Checks and approvals before it receives traffic.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requirements: Requirements,
    /// What a broken guardrail does.
    pub on_fail: OnFail,
    /// How long the previous version is kept after completion, for a rollback.
    #[serde(with = "millis")]
    pub rollback_window: Duration,
    /// How long after completion a broken limit restores the previous version; zero: it only alerts.
    #[serde(default, skip_serializing_if = "Duration::is_zero", with = "millis")]
    pub rollback_after_completion: Duration,
}

/// The default of [`Plan::rollback_window`]: one week.
pub const ROLLBACK_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a broken guardrail does to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// Rolls back to stable at once.
    #[default]
    Rollback,
    /// Pauses the release at its weight until an operator decides: for versions whose rollback is not safe, such as after a
    /// change of a database schema.
    Pause,
}

/// How many of the connected sidecars must ACK a step before its time and its evidence begin. A NACK blocks the release at
/// any share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvergenceThreshold {
    /// Their share; 100 % by default.
    pub share: Ppm,
}

impl Default for ConvergenceThreshold {
    fn default() -> Self {
        Self { share: Ppm::ALL }
    }
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
    /// The share of the candidate.
    pub weight: Ppm,
    /// The minimum time. At 100 % the plan's `watch` applies instead.
    #[serde(with = "millis")]
    pub time: Duration,
    /// The minimum number of requests to the candidate in the step.
    pub min_requests: u64,
    /// The approvals before it is entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approvals>,
}

/// One HTTP request with its expected status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmokeTest {
    /// Path and query, beginning with `/`.
    pub path: String,
    /// The expected status.
    pub expect: u16,
}

/// The health check of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheck {
    /// A TCP connection can be made.
    Tcp,
    /// `GET` of this path returns 200.
    Http(String),
}

/// Why a plan is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No step.
    #[error("a plan needs at least one step, and the last must be 100%")]
    NoSteps,
    /// More than the limit.
    #[error("a plan may have at most {most} {what}, not {count}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        most: usize,
        /// What was given.
        count: usize,
    },
    /// A weight below that of the step before.
    #[error("step {step} ({weight}) is below the step before it ({before}): weights may only rise")]
    Falls {
        /// Counted from 1.
        step: usize,
        /// Its weight.
        weight: Ppm,
        /// The weight before it.
        before: Ppm,
    },
    /// A step after 100 %.
    #[error("step {step} is 100% already: only the last step may be")]
    EndsEarly {
        /// Counted from 1.
        step: usize,
    },
    /// A last step below 100 %.
    #[error("the last step is {weight}, and must be 100%")]
    NeverEnds {
        /// The last step's weight.
        weight: Ppm,
    },
    /// A number of approvals, or their expiry, out of range.
    #[error(
        "{count} approvals are required: the number must be 1 to {MAX_APPROVALS}, and `expire` above 0"
    )]
    Approvals {
        /// The required number.
        count: u32,
    },
    /// Too much is held back.
    #[error("{share} are held back; at most {MAX_HOLDBACK} may be")]
    Holdback {
        /// The share.
        share: Ppm,
    },
    /// An invalid path.
    #[error("path `{0}` must begin with `/` and hold only visible ASCII, at most {MAX_PATH} bytes")]
    BadPath(String),
    /// An invalid HTTP status.
    #[error("smoke test of `{path}` expects status {status}; it must be 100 to 599")]
    BadStatus {
        /// The path of the test.
        path: String,
        /// The expected status.
        status: u16,
    },
}

impl Plan {
    /// Checks the plan.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn validate(&self) -> Result<(), PlanError> {
        let at_most = |what, most, count| {
            if count > most { Err(PlanError::TooMany { what, most, count }) } else { Ok(()) }
        };
        at_most("steps", MAX_STEPS, self.steps.len())?;
        at_most("smoke tests", MAX_SMOKE_TESTS, self.smoke_tests.len())?;
        let last = self.steps.last().ok_or(PlanError::NoSteps)?;
        let pairs = self.steps.iter().zip(self.steps.iter().skip(1));
        for (number, (before, step)) in (2..).zip(pairs) {
            if before.weight == Ppm::ALL {
                return Err(PlanError::EndsEarly { step: number - 1 });
            }
            if step.weight < before.weight {
                return Err(PlanError::Falls {
                    step: number,
                    weight: step.weight,
                    before: before.weight,
                });
            }
        }
        if last.weight != Ppm::ALL {
            return Err(PlanError::NeverEnds { weight: last.weight });
        }
        self.holdback.map_or(Ok(()), Holdback::validate)?;
        self.requirements.validate()?;
        let approvals = self.steps.iter().filter_map(|step| step.approval.as_ref());
        for approvals in approvals {
            approvals.validate()?;
        }
        self.health.iter().try_for_each(HealthCheck::validate)?;
        self.smoke_tests.iter().try_for_each(SmokeTest::validate)
    }
}

/// True for a valid path of a smoke test or a health check.
pub fn is_path(path: &str) -> bool {
    let visible = path.bytes().all(|b| b.is_ascii_graphic());
    visible && path.starts_with('/') && path.len() <= MAX_PATH
}

impl HealthCheck {
    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        match self {
            Self::Http(path) if !is_path(path) => {
                Err(PlanError::BadPath(path.chars().take(60).collect()))
            }
            Self::Http(_) | Self::Tcp => Ok(()),
        }
    }
}

impl SmokeTest {
    fn validate(&self) -> Result<(), PlanError> {
        if !is_path(&self.path) {
            let path = self.path.chars().take(60).collect();
            return Err(PlanError::BadPath(path));
        }
        if !(100..=599).contains(&self.expect) {
            return Err(PlanError::BadStatus { path: self.path.clone(), status: self.expect });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(weights: &[u32]) -> Plan {
        Plan {
            strategy: Strategy::Canary,
            steps: weights
                .iter()
                .map(|parts| Step {
                    weight: Ppm::new(*parts).unwrap(),
                    time: Duration::ZERO,
                    min_requests: 0,
                    approval: None,
                })
                .collect(),
            watch: Duration::ZERO,
            holdback: None,
            smoke_tests: Vec::new(),
            health: None,
            convergence: ConvergenceThreshold::default(),
            requirements: Requirements::default(),
            on_fail: OnFail::default(),
            rollback_window: ROLLBACK_WINDOW,
            rollback_after_completion: Duration::ZERO,
        }
    }

    #[test]
    fn valid_weights_are_accepted() {
        for weights in [&[1_000_000][..], &[0, 1_000_000], &[500, 50_000, 50_000, 1_000_000]] {
            assert_eq!(plan(weights).validate(), Ok(()), "{weights:?}");
        }
    }

    #[test]
    fn invalid_weights_are_refused() {
        let falls = PlanError::Falls { step: 2, weight: Ppm::percent(5), before: Ppm::percent(10) };
        for (weights, error) in [
            (&[][..], PlanError::NoSteps),
            (&[100_000, 50_000, 1_000_000], falls),
            (&[1_000_000, 1_000_000], PlanError::EndsEarly { step: 1 }),
            (&[50_000], PlanError::NeverEnds { weight: Ppm::percent(5) }),
            (&[0; 101], PlanError::TooMany { what: "steps", most: 100, count: 101 }),
        ] {
            assert_eq!(plan(weights).validate(), Err(error));
        }
    }

    #[test]
    fn invalid_smoke_tests_are_refused() {
        for (path, expect) in [("healthz", 200), ("/a b", 200), ("/\r\nX: y", 200), ("/", 99)] {
            let mut plan = plan(&[1_000_000]);
            plan.smoke_tests = vec![SmokeTest { path: path.to_owned(), expect }];
            assert!(plan.validate().is_err(), "{path:?} {expect}");
        }
    }
}
