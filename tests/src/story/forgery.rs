//! (f) A client cannot choose its version.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use tidegate_demo_app::load::LoadConfig;

use super::{Operator, ProgressOutput, ScenarioReport, Traffic};
use crate::World;

const RATE: f64 = 300.0;
const USERS: u64 = 150;

/// Clients send Tidegate's headers during a canary. Each user must be on the same version as without them.
///
/// # Errors
/// If a user is on another version.
pub async fn clients_cannot_choose_a_version(
    world: &World,
    output: &ProgressOutput,
) -> Result<ScenarioReport> {
    let operator = Operator::new(&world.control);
    output.say("(f) clients send Tidegate's own headers, which must have no effect");
    let stable = operator.stable("order").await?;
    let other = if stable == "v1" { "v2" } else { "v1" };
    let honest = LoadConfig { rate: RATE, users: USERS, track_users: true, ..world.load("order") };
    let headers = [("x-tidegate-version", other), ("x-tidegate-bucket", "0")];
    let forged = LoadConfig {
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..honest.clone()
    };
    let forger = Traffic::with("forged order", &forged).await?;
    let honest = Traffic::with("order", &honest).await?;
    forger.until_only(&stable, 2 * USERS).await?;
    output.say(format_args!("    at weight 0: {} forged requests, all on {stable}", 2 * USERS));

    operator.run(&["release", "start", "order", "--version", other]).await?;
    operator.until("order", |release| release.weight > 0.0 && release.converged).await?;
    operator.run(&["release", "pause", "order"]).await?;
    // Discards the responses from before convergence.
    honest.forget_users();
    forger.forget_users();
    honest.more(2 * USERS).await?;
    forger.more(2 * USERS).await?;
    let (theirs, forged) = (honest.load.take_users(), forger.load.take_users());
    operator.run(&["release", "abort", "order"]).await?;
    let chosen = differ(&theirs, &forged);
    ensure!(chosen.is_empty(), "users {chosen:?} chose their version");
    let on_it = theirs.values().filter(|met| met.contains_key(other)).count();
    output.say(format_args!(
        "    during the canary: {} users, {on_it} of them on {other}, the same with forged headers",
        theirs.len()
    ));
    let (with, caused_with) = forger.end(None).await?;
    let (without, caused_without) = honest.end(None).await?;
    Ok(ScenarioReport {
        title: "clients cannot choose a version",
        figures: format!(
            "{} users on the same version with and without forged headers",
            theirs.len()
        ),
        requests: with.sent + without.sent,
        unexplained: caused_with + caused_without,
    })
}

type Versions = HashMap<u64, HashMap<String, u64>>;

/// The users with responses of different versions.
fn differ(one: &Versions, other: &Versions) -> Vec<u64> {
    one.iter()
        .filter(|(user, met)| {
            other.get(user).is_some_and(|theirs| {
                theirs.len() != met.len() || theirs.keys().any(|version| !met.contains_key(version))
            })
        })
        .map(|(user, _)| *user)
        .collect()
}
