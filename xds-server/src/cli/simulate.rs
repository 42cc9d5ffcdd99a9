//! `tidegate simulate`: simulated releases, and recorded ones judged by other guardrails. No server is called.

mod file;
mod replay;
mod runs;

use std::path::PathBuf;

use super::client::Target;
use super::failure::Failure;
use super::output::{self, List};
use tidegate::files::{MAX_BYTES, read_text};
use tidegate_simulate::run::seed_of;
use tidegate_simulate::scenario::MAX_RUNS;
use tidegate_simulate::summary::{Quantiles, Summary, shown};
use tidegate_simulate::svg;

/// Simulate releases of scenarios, or judge the releases of an event log by other guardrails. No server is called
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A YAML file with a service, traffic and faults; docs/simulate.md describes it
    #[arg(required_unless_present = "replay")]
    file: Option<PathBuf>,
    /// Simulated releases of each scenario, instead of the number in the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_RUNS), conflicts_with = "replay")]
    runs: Option<u64>,
    /// The seed, instead of that in the file
    #[arg(long, value_name = "N", conflicts_with = "replay")]
    seed: Option<u64>,
    /// Only this scenario
    #[arg(long, value_name = "NAME", conflicts_with = "replay")]
    scenario: Option<String>,
    /// Draw one run into this file: weights, error rates, evidence and verdicts
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    svg: Option<PathBuf>,
    /// The run to draw, counted from 0; of the first scenario, or of the one named with --scenario
    #[arg(long, value_name = "N", default_value_t = 0, requires = "svg")]
    draw_run: u64,
    /// An event log, as `tidegate audit export` writes it; a complete one
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    replay: Option<PathBuf>,
    /// A YAML file with the guardrails to judge the event log by, in the form of `guardrails` in the configuration
    #[arg(long, value_name = "FILE", requires = "replay")]
    guardrails: Option<PathBuf>,
}

pub(super) fn run(args: &Args, target: &Target) -> Result<(), Failure> {
    let path = match (&args.replay, &args.file) {
        (Some(log), _) => return replay::run(log, args.guardrails.as_deref(), target.output),
        (None, Some(path)) => path,
        (None, None) => return Ok(()),
    };
    let mut file = file::parse(&read_text(path, MAX_BYTES)?)?;
    if let Some(name) = &args.scenario {
        let known: Vec<_> = file.scenarios.iter().map(|it| it.name.clone()).collect();
        file.scenarios.retain(|it| it.name == *name);
        if file.scenarios.is_empty() {
            let known = known.join(", ");
            return Err(Failure::Input(format!("no scenario `{name}`; the file has {known}")));
        }
    }
    let (runs, seed) = (args.runs.unwrap_or(file.runs), args.seed.unwrap_or(file.seed));
    if let (Some(path), Some(scenario)) = (&args.svg, file.scenarios.first()) {
        let traced = file.simulated.trace(scenario, seed_of(seed, args.draw_run));
        let (_, points) = traced.map_err(|error| Failure::Input(error.to_string()))?;
        let title = format!("{}, run {}, seed {seed}", scenario.name, args.draw_run);
        std::fs::write(path, svg::draw(&title, &points))
            .map_err(|error| Failure::Input(format!("cannot write {}: {error}", path.display())))?;
    }
    let summaries = runs::simulate(&file.simulated, &file.scenarios, runs, seed)?;
    output::list(target.output, &summaries, || {
        Ok(List {
            heads: [
                "SCENARIO",
                "RUNS",
                "COMPLETED",
                "ROLLED BACK",
                "HELD",
                "FALSE ALARMS",
                "DETECTED",
                "CLIENTS HARMED",
                "ALERTED",
                "FAILED REQUESTS",
                "GUARDRAILS",
            ],
            narrow: 8,
            rows: summaries.iter().map(|it| (it.scenario.clone(), row(it))).collect(),
            none: "no scenarios",
        })
    })
}

fn row(summary: &Summary) -> [String; 11] {
    let [low, high] = summary.false_alarms_percent;
    let listed = |each: Vec<String>| if each.is_empty() { "0".to_owned() } else { each.join(", ") };
    let held = summary.held.iter().map(|(blocker, count)| format!("{count} ({blocker})")).collect();
    let guardrails =
        summary.guardrails.iter().map(|(guardrail, count)| format!("{guardrail}: {count}"));
    let count = |it: f64| it.round().to_string();
    [
        summary.scenario.clone(),
        summary.runs.to_string(),
        summary.completed.to_string(),
        summary.rolled_back.to_string(),
        listed(held),
        format!("{} [{low:.2}%, {high:.2}%]", summary.false_alarms),
        summary.detection.as_ref().map_or_else(|| "-".to_owned(), |it| quantiles(it, shown)),
        quantiles(&summary.harmed_clients, count),
        summary.alerted.to_string(),
        quantiles(&summary.failed_requests, count),
        listed(guardrails.collect()),
    ]
}

/// `median / 95th percentile`.
fn quantiles(Quantiles { median, p95 }: &Quantiles, shown: impl Fn(f64) -> String) -> String {
    let text = |it: Option<f64>| it.map_or_else(|| "never".to_owned(), &shown);
    format!("{} / {}", text(*median), text(*p95))
}
