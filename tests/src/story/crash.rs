//! (e) The control plane is killed during a canary.

use anyhow::{Result, ensure};

use super::{Operator, Phase, ProgressOutput, ScenarioReport, Traffic};
use crate::World;

const RATE: f64 = 200.0;
const USERS: u64 = 200;

/// The control plane is killed while `inventory` is at 25 %. Traffic is unchanged, and the release resumes after the restart.
///
/// # Errors
/// If a request fails, the split changes during the outage, or the release does not resume.
pub async fn release_survives_a_control_plane_crash(
    world: &mut World,
    output: &ProgressOutput,
) -> Result<ScenarioReport> {
    output.say("(e) the control plane is killed with -9 while inventory v2 is at 25 %");
    let traffic = Traffic::start(world, "inventory", RATE, USERS).await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "inventory", "--version", "v2"]).await?;
    let before =
        operator.until("inventory", |release| release.weight >= 0.25 && release.converged).await?;
    traffic.forget_users();
    traffic.more(2 * USERS).await?;
    let split = traffic.load.take_users();
    world.control.kill9()?;
    // Several reports and ticks are lost.
    traffic.more(4 * USERS).await?;
    let while_down = traffic.load.take_users();
    for (user, versions) in &split {
        let now = while_down.get(user);
        ensure!(
            now.is_none_or(|now| now.keys().eq(versions.keys())),
            "user {user} was on {versions:?} before the kill and on {now:?} after it"
        );
    }
    output.say(format_args!("    down: {} requests, every user on the same version", 4 * USERS));
    world.control.restart().await?;
    let operator = Operator::new(&world.control);
    let after = operator.release("inventory").await?;
    ensure!(after.id == before.id, "another release: {} instead of {}", after.id, before.id);
    ensure!(
        after.weight >= before.weight,
        "it resumed at {} instead of {}",
        after.weight,
        before.weight
    );
    output.say(format_args!("    restarted: {} resumes at {} %", after.id, after.weight * 100.0));
    operator.until("inventory", |release| release.phase == Phase::Completed).await?;
    operator.run(&["audit", "verify"]).await?;
    output.say("    it completes, and the hash chain of the journal verifies");
    let (report, unexplained) = traffic.end(None).await?;
    Ok(ScenarioReport {
        title: "a release survives a crash of the control plane",
        figures: format!("resumed at {:.0} % and completed", after.weight * 100.0),
        requests: report.sent,
        unexplained,
    })
}
