//! `tidegate simulate --replay`: the releases of an exported event log, judged by other guardrails.

use std::path::Path;

use tidegate::files::{MAX_BYTES, read_text};
use tidegate::journal::Record;
use tidegate_simulate::replay::{Found, Note, Recorded, Replayed, replay};

use crate::cli::failure::Failure;
use crate::cli::output::{self, Format, List};

use super::file;

/// Largest event log, in bytes.
const MAX_LOG: u64 = 1024 * MAX_BYTES;

/// What an event log does not have.
const LIMITS: &str = "Judged are the totals of each step, spread evenly over its time. Not in an event log, and not judged: \
                      what happened within a step, the comparison of the latency, and how much the rate of stable varied.";

pub(super) fn run(log: &Path, guardrails: Option<&Path>, format: Format) -> Result<(), Failure> {
    let guardrails =
        guardrails.map(|path| file::guardrails(&read_text(path, MAX_BYTES)?)).transpose()?;
    let text = read_text(log, MAX_LOG)?;
    let records = records(&text)?;
    let events = records.iter().map(|record| (record.at, record.event.event()));
    let replayed = replay(events, guardrails.as_ref()).map_err(|error| {
        Failure::Input(format!(
            "{}: {error}; write a complete log with `tidegate audit export`",
            log.display()
        ))
    })?;
    output::list(format, &replayed, || {
        Ok(List {
            heads: ["RELEASE", "CANDIDATE", "RECORDED", "REPLAYED", "STEPS", "NOT JUDGED"],
            narrow: 6,
            rows: replayed.iter().map(|it| (it.release.to_string(), row(it))).collect(),
            none: "the log has no releases",
        })
    })?;
    if matches!(format, Format::Table | Format::Wide) { output::print(LIMITS) } else { Ok(()) }
}

/// One record a line, or an array of records.
fn records(text: &str) -> Result<Vec<Record>, Failure> {
    let input = |line: usize, error: serde_json::Error| {
        let fix = "write one with `tidegate audit export`";
        Failure::Input(format!("line {line} is no record of an event log: {error}; {fix}"))
    };
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| input(error.line(), error));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| input(index.saturating_add(1), error))
        })
        .collect()
}

fn row(replayed: &Replayed) -> [String; 6] {
    let recorded = match &replayed.recorded {
        Recorded::Running => "running".to_owned(),
        Recorded::Completed => "completed".to_owned(),
        Recorded::RolledBack { guardrail: Some(guardrail) } => format!("rolled back: {guardrail}"),
        Recorded::RolledBack { guardrail: None } => "rolled back".to_owned(),
    };
    let found = match &replayed.replayed {
        Found::NoEvidence => "no counts".to_owned(),
        Found::Nothing => "no finding".to_owned(),
        Found::Alert { finding, weight } => format!("alert at {weight}: {finding}"),
        Found::RollBack { finding, weight } => format!("rolled back at {weight}: {finding}"),
    };
    let notes = replayed.notes.iter().map(|note| match note {
        Note::OtherLatencyLimits => "limits of the latency that differ from the recorded ones",
        Note::LastStepPartly => "the last step beside the guardrail that broke",
        Note::LastStepUnknown => "the last step",
    });
    let notes: Vec<_> = notes.collect();
    [
        replayed.release.to_string(),
        replayed.candidate.to_string(),
        recorded,
        found,
        replayed.steps.to_string(),
        if notes.is_empty() { "-".to_owned() } else { notes.join("; ") },
    ]
}
