//! (c) Blue/green: one switch, and a rollback when green becomes slow.

use std::time::Duration;

use anyhow::{Result, ensure};
use tidegate_demo_app::faults::Faults;

use super::{Operator, Phase, ProgressOutput, ScenarioReport, Traffic};
use crate::World;

const RATE: f64 = 200.0;
const USERS: u64 = 200;
const QUIET: Duration = Duration::from_secs(1);

/// `product` switches to green, green becomes slow, and the release is rolled back.
///
/// # Errors
/// If both versions respond after convergence, or the slow version is not rolled back.
pub async fn blue_green_switches_and_is_rolled_back(
    world: &World,
    output: &ProgressOutput,
) -> Result<ScenarioReport> {
    let operator = Operator::new(&world.control);
    output.say(
        "(c) product switches from blue to green; then green becomes slow and must be rolled back",
    );
    let traffic = Traffic::start(world, "product", RATE, USERS).await?;
    operator.run(&["release", "start", "product", "--version", "v2"]).await?;
    operator
        .until("product", |release| release.phase == Phase::Watching && release.converged)
        .await?;
    let seen = traffic.seen();
    let overlap = traffic
        .until("no more responses from blue", |seen| {
            let blue = seen.versions.get("v1")?.last;
            let green = seen.versions.get("v2")?.first;
            (blue.elapsed() > QUIET).then(|| blue.saturating_duration_since(green))
        })
        .await?;
    traffic.more(USERS).await?;
    let after = traffic.seen();
    ensure!(after.finished_by("v2") > seen.finished_by("v2"), "green serves no request");
    output.say(format_args!(
        "    switched: {} ms from the first response of green to the last of blue",
        overlap.as_millis()
    ));

    let green = world.backends.get("product", "v2")?;
    green.set_faults(Faults::slow(1_500.0, 2_500.0)?);
    let ended = operator.until("product", |release| release.phase == Phase::RolledBack).await?;
    traffic
        .until("the last response by green", |seen| {
            let green = seen.versions.get("v2")?;
            (green.last.elapsed() > 3 * QUIET).then_some(())
        })
        .await?;
    green.set_faults(Faults::default());
    let why = ended.cause.unwrap_or_default();
    output.say(format_args!("    green became slow and was rolled back: {why}"));
    ensure!(why.contains("latency"), "rolled back for another reason: {why}");
    let (report, unexplained) = traffic.end(None).await?;
    Ok(ScenarioReport {
        title: "blue/green switches at once and is rolled back when slow",
        figures: format!(
            "both versions responded for {} ms; rolled back: {why}",
            overlap.as_millis()
        ),
        requests: report.sent,
        unexplained,
    })
}
