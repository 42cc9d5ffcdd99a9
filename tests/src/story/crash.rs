//! (e) The control plane is killed in mid-canary.

use anyhow::{Result, ensure};

use super::{Chapter, Narrator, Operator, Phase, Traffic};
use crate::World;

const RATE: f64 = 200.0;
const USERS: u64 = 200;

/// inventory is at 25 % when the control plane dies; traffic flows on; after the restart the release goes on.
///
/// # Errors
/// If a request fails, the split changes while it is down, or the release starts anew.
pub async fn release_survives_the_control_plane(
    world: &mut World,
    narrator: &Narrator,
) -> Result<Chapter> {
    narrator.say("(e) the control plane is killed with -9 while inventory v2 is at 25 %");
    let traffic = Traffic::start(world, "inventory", RATE, USERS).await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "inventory", "--version", "v2"]).await?;
    let before =
        operator.until("inventory", |release| release.weight >= 0.25 && release.converged).await?;
    traffic.forget_users();
    traffic.more(2 * USERS).await?;
    let split = traffic.load.take_users();
    world.control.kill9()?;
    // Several reports are lost, and several ticks: nobody may notice.
    traffic.more(4 * USERS).await?;
    let while_down = traffic.load.take_users();
    for (user, versions) in &split {
        let now = while_down.get(user);
        ensure!(
            now.is_none_or(|now| now.keys().eq(versions.keys())),
            "user {user} met {versions:?} before the kill and {now:?} after it"
        );
    }
    narrator.say(format_args!("    down: {} requests, every user where they were", 4 * USERS));
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
    narrator.say(format_args!("    up again: {} goes on at {} %", after.id, after.weight * 100.0));
    operator.until("inventory", |release| release.phase == Phase::Completed).await?;
    operator.run(&["audit", "verify"]).await?;
    narrator.say("    and completes; the journal's hash chain verifies");
    let (report, caused) = traffic.end(None).await?;
    Ok(Chapter {
        title: "the control plane may die in mid-canary",
        found: format!("resumed at {:.0} % and completed", after.weight * 100.0),
        requests: report.sent,
        caused,
    })
}
