//! (c) Blue to green in one instant, and back when green turns slow.

use std::time::Duration;

use anyhow::{Result, ensure};
use tidegate_demo_app::faults::Faults;

use super::{Chapter, Narrator, Operator, Phase, Traffic};
use crate::World;

const RATE: f64 = 200.0;
const USERS: u64 = 200;
const QUIET: Duration = Duration::from_secs(1);

/// product switches to green at once; green turns slow; it goes back.
///
/// # Errors
/// If the switch mixes versions after it converged, or the slow version stays.
pub async fn switches_at_once_and_goes_back_when_slow(
    world: &World,
    narrator: &Narrator,
) -> Result<Chapter> {
    let operator = Operator::new(&world.control);
    narrator.say(
        "(c) product switches blue → green at once; then green turns slow and it should go back",
    );
    let traffic = Traffic::start(world, "product", RATE, USERS).await?;
    operator.run(&["release", "start", "product", "--version", "v2"]).await?;
    operator
        .until("product", |release| release.phase == Phase::Watching && release.converged)
        .await?;
    let seen = traffic.seen();
    let overlap = traffic
        .until("no more answers from blue", |seen| {
            let blue = seen.versions.get("v1")?.last;
            let green = seen.versions.get("v2")?.first;
            (blue.elapsed() > QUIET).then(|| blue.saturating_duration_since(green))
        })
        .await?;
    traffic.more(USERS).await?;
    let after = traffic.seen();
    ensure!(after.finished_by("v2") > seen.finished_by("v2"), "green answers nobody");
    narrator.say(format_args!(
        "    switched: first answer from green to last from blue {} ms",
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
    narrator.say(format_args!("    green turned slow and it went back: {why}"));
    ensure!(why.contains("latency"), "rolled back for another reason: {why}");
    let (report, caused) = traffic.end(None).await?;
    Ok(Chapter {
        title: "blue/green switches at once, and goes back when green is slow",
        found: format!("both answered for {} ms; back because of {why}", overlap.as_millis()),
        requests: report.sent,
        caused,
    })
}
