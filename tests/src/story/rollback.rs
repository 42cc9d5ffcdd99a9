//! (b) A bad canary is rolled back automatically.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tidegate_demo_app::faults::Faults;

use super::{Operator, Phase, ProgressOutput, ScenarioReport, Traffic};
use crate::World;

const RATE: f64 = 500.0;
const USERS: u64 = 1000;
/// The weight at which it starts to fail.
const WEIGHT: f64 = 0.05;
/// A response of the bad version is the last one if none follows for this long.
const QUIET: Duration = Duration::from_secs(2);

/// `payment` v2 starts to fail during its canary.
///
/// # Errors
/// If it is not rolled back.
pub async fn bad_canary_is_rolled_back(
    world: &World,
    output: &ProgressOutput,
) -> Result<ScenarioReport> {
    let operator = Operator::new(&world.control);
    output.say("(b) payment v2 starts to fail at 5 % and must be rolled back");
    let traffic = Traffic::start(world, "payment", RATE, USERS).await?;
    operator.run(&["release", "start", "payment", "--version", "v2"]).await?;
    operator.until("payment", |release| release.weight >= WEIGHT && release.converged).await?;
    let bad = world.backends.get("payment", "v2")?;
    bad.set_faults(Faults::errors(1.0, 500)?);
    let first = traffic
        .until("a bad response", |seen| seen.versions.get("v2").and_then(|v2| v2.first_failed))
        .await?;
    let ended = operator.until("payment", |release| release.phase == Phase::RolledBack).await?;
    let last = traffic
        .until("the last response by v2", |seen| {
            seen.versions.get("v2").map(|v2| v2.last).filter(|last| last.elapsed() > QUIET)
        })
        .await?;
    bad.set_faults(Faults::default());
    let took = last.checked_duration_since(first).context("the last response came first")?;
    let failed = traffic.seen().versions.get("v2").map_or(0, |v2| v2.failed);
    output.say(format_args!(
        "    first bad response to last response by v2: {} ms, {failed} failed requests",
        took.as_millis()
    ));
    let why = ended.cause.unwrap_or_default();
    output.say(format_args!("    cause: {why}"));
    ensure!(why.contains("error rate"), "rolled back for another reason: {why}");
    let (report, unexplained) = traffic.end(Some("v2")).await?;
    Ok(ScenarioReport {
        title: "a bad canary is rolled back",
        figures: format!(
            "{} ms from first bad to last by v2; {failed} bad responses",
            took.as_millis()
        ),
        requests: report.sent,
        unexplained,
    })
}
