//! (b) A bad canary is put back by itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tidegate_demo_app::faults::Faults;

use super::{Chapter, Narrator, Operator, Phase, Traffic};
use crate::World;

const RATE: f64 = 500.0;
const USERS: u64 = 1000;
/// The weight at which it breaks.
const WEIGHT: f64 = 0.05;
/// How long nobody must meet the bad version before its last answer counts as the last.
const QUIET: Duration = Duration::from_secs(2);

/// payment v2 starts failing in mid-canary.
///
/// # Errors
/// If it is not rolled back, or a client met it afterwards.
pub async fn bad_version_is_put_back(world: &World, narrator: &Narrator) -> Result<Chapter> {
    let operator = Operator::new(&world.control);
    narrator.say("(b) payment v2 starts failing at 5 %: it should be put back by itself");
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
    narrator.say(format_args!(
        "    first bad response to last response by v2: {} ms, {failed} requests met it",
        took.as_millis()
    ));
    let why = ended.cause.unwrap_or_default();
    narrator.say(format_args!("    why: {why}"));
    ensure!(why.contains("error rate"), "rolled back for another reason: {why}");
    let (report, caused) = traffic.end(Some("v2")).await?;
    Ok(Chapter {
        title: "a bad canary is put back by itself",
        found: format!(
            "{} ms from first bad to last by v2; {failed} bad responses",
            took.as_millis()
        ),
        requests: report.sent,
        caused,
    })
}
