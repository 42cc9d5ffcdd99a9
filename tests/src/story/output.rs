//! Progress of the scenarios on standard output.

use std::fmt::Display;
use std::future::Future;
use std::time::Instant;

use anyhow::{Context, Result};

use super::ScenarioReport;

/// Prints lines with the time since its creation.
#[derive(Debug)]
pub struct ProgressOutput {
    started: Instant,
}

impl Default for ProgressOutput {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl ProgressOutput {
    /// Prints one line.
    #[expect(clippy::print_stdout, reason = "the progress is for the terminal")]
    pub fn say(&self, line: impl Display) {
        println!("{:>6.1}s  {line}", self.started.elapsed().as_secs_f64());
    }

    /// Runs a scenario and prints that it passed.
    ///
    /// # Errors
    /// The scenario's, with its letter.
    pub async fn scenario(
        &self,
        letter: &str,
        scenario: impl Future<Output = Result<ScenarioReport>>,
    ) -> Result<ScenarioReport> {
        let report = scenario.await.with_context(|| format!("scenario ({letter}) failed"))?;
        self.say(format_args!("({letter}) passed: {}\n", report.title));
        Ok(report)
    }
}
