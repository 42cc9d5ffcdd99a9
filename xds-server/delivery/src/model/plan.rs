//! Plans: canary and blue/green are two ways to write one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::requirements::{Approvals, MAX_APPROVALS, Requirements};
use crate::units::{Ppm, millis};

/// Most steps that a plan may have: beyond it nobody reads them any more.
pub const MAX_STEPS: usize = 100;
/// Most smoke tests that a plan may have.
pub const MAX_SMOKE_TESTS: usize = 20;
/// Longest path of a smoke test, in bytes.
pub const MAX_PATH: usize = 2048;

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
    /// How the candidate's instances are asked before it gets any traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Who must have a step before it begins to count.
    #[serde(default)]
    pub convergence: ConvergenceThreshold,
    /// What others must have said before it gets traffic: always the service's own, so that
    /// a release that brings its plan along cannot ask for less.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requirements: Requirements,
    /// What a broken guardrail does.
    #[serde(default)]
    pub on_fail: OnFail,
    /// For how long after it is complete the version before it is kept to go back to.
    #[serde(default = "rollback_window", with = "millis")]
    pub rollback_window: Duration,
}

/// For how long one push leads back, unless somebody says otherwise: a week.
pub const ROLLBACK_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const fn rollback_window() -> Duration {
    ROLLBACK_WINDOW
}

/// What a broken guardrail does to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// Everything goes back to stable, at once.
    #[default]
    Rollback,
    /// It is held at the weight where it is, and a person decides: for versions from which
    /// there is no simple way back, such as after a change of a database's schema.
    Pause,
}

/// How many of the connected sidecars must have a step before its time and its evidence begin.
/// One that refuses its configuration holds the release all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvergenceThreshold {
    /// Their share. All, unless somebody says otherwise.
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
    /// The candidate's share.
    pub weight: Ppm,
    /// The least time that it holds. At 100 % the plan's `watch` takes its place.
    #[serde(with = "millis")]
    pub time: Duration,
    /// The least number of requests that the candidate must have served in it.
    pub min_requests: u64,
    /// Who must approve before it is entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approvals>,
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

/// How an instance is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheck {
    /// It takes connections.
    Tcp,
    /// It answers `GET` of this path with 200.
    Http(String),
}

/// Why a plan cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to do.
    #[error("a plan needs at least one step, and the last must be 100%")]
    NoSteps,
    /// More than anybody reads.
    #[error("a plan may have at most {most} {what}, not {count}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        most: usize,
        /// What was given.
        count: usize,
    },
    /// A step that would take users back.
    #[error("step {step} ({weight}) is below the step before it ({before}): weights may only rise")]
    Falls {
        /// Counted from 1.
        step: usize,
        /// Its weight.
        weight: Ppm,
        /// The weight before it.
        before: Ppm,
    },
    /// 100 % is where a release is watched and ends.
    #[error("step {step} is 100% already: only the last step may be")]
    EndsEarly {
        /// Counted from 1.
        step: usize,
    },
    /// The release would never be complete.
    #[error("the last step is {weight}, and must be 100%")]
    NeverEnds {
        /// The last step's weight.
        weight: Ppm,
    },
    /// A gate that nobody could open, or anybody.
    #[error(
        "a gate asks for {count} approvals: it must be 1 to {MAX_APPROVALS}, and they must last for some time"
    )]
    Approvals {
        /// How many it asks for.
        count: u32,
    },
    /// A path that is none.
    #[error("path `{0}` must begin with `/` and hold only visible ASCII, at most {MAX_PATH} bytes")]
    BadPath(String),
    /// A status that no answer can have.
    #[error("smoke test of `{path}` expects status {status}, which is none: 100 to 599")]
    BadStatus {
        /// Which test.
        path: String,
        /// What it expects.
        status: u16,
    },
}

impl Plan {
    /// Checks that the plan can be followed to its end.
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
        self.requirements.validate()?;
        let gates = self.steps.iter().filter_map(|step| step.approval.as_ref());
        for gate in gates {
            gate.validate()?;
        }
        self.health.iter().try_for_each(HealthCheck::validate)?;
        self.smoke_tests.iter().try_for_each(SmokeTest::validate)
    }
}

/// Whether a path can be asked for: by a smoke test, or to see whether an instance is well.
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
            smoke_tests: Vec::new(),
            health: None,
            convergence: ConvergenceThreshold::default(),
            requirements: Requirements::default(),
            on_fail: OnFail::default(),
            rollback_window: ROLLBACK_WINDOW,
        }
    }

    #[test]
    fn accepts_what_can_be_followed() {
        for weights in [&[1_000_000][..], &[0, 1_000_000], &[500, 50_000, 50_000, 1_000_000]] {
            assert_eq!(plan(weights).validate(), Ok(()), "{weights:?}");
        }
    }

    #[test]
    fn refuses_what_cannot() {
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
    fn refuses_smoke_tests_that_cannot_be_sent() {
        for (path, expect) in [("healthz", 200), ("/a b", 200), ("/\r\nX: y", 200), ("/", 99)] {
            let mut plan = plan(&[1_000_000]);
            plan.smoke_tests = vec![SmokeTest { path: path.to_owned(), expect }];
            assert!(plan.validate().is_err(), "{path:?} {expect}");
        }
    }
}
