//! (a) A good canary advances through its steps, and users stay on their version.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};

use super::{Operator, Phase, ProgressOutput, ScenarioReport, Traffic};
use crate::World;
use crate::stats::plausible;

const RATE: f64 = 300.0;
const USERS: u64 = 300;
/// Further samples of a step, if the first does not have every user.
const MAX_ROUNDS: u32 = 8;

/// order v2 is good: 5 → 10 → 25 → 50 → 95 %, and all users with its completion.
///
/// # Errors
/// If a split is implausible, a user changes versions within a step or back, or a request fails.
pub async fn good_canary_completes(
    world: &World,
    output: &ProgressOutput,
) -> Result<ScenarioReport> {
    let operator = Operator::new(&world.control);
    output.say("(a) order v2 is good: it must advance 5 → 10 → 25 → 50 → 95 %, where 5 % are held back, and complete");
    let traffic = Traffic::start(world, "order", RATE, USERS).await?;
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;

    let mut on_candidate: HashSet<u64> = HashSet::new();
    let mut shares = Vec::new();
    for weight in [0.05, 0.10, 0.25, 0.50, 0.95] {
        operator.until("order", |release| release.weight >= weight && release.converged).await?;
        let step = operator.release("order").await?;
        let users = answers_of_all_users(&traffic, USERS).await?;
        let still = operator.release("order").await?;
        ensure!(
            (step.weight - still.weight).abs() < 1e-9,
            "the step at {} ended before it was measured",
            step.weight
        );
        let candidate = users_on("v2", &users)?;
        let (k, n) = (candidate.len() as u64, users.len() as u64);
        ensure!(plausible(k, n, weight), "{k} of {n} users at a weight of {weight}");
        let back: Vec<_> = on_candidate.difference(&candidate).collect();
        ensure!(back.is_empty(), "users {back:?} returned to v1 when the weight rose to {weight}");
        output.say(format_args!(
            "    {:>3.0} %: {k} of {n} users on v2, each user on one version",
            weight * 100.0
        ));
        shares.push(format!("{k}/{n}"));
        on_candidate = candidate;
    }
    operator.until("order", |release| release.phase == Phase::Completed).await?;
    traffic.until_only("v2", 2 * USERS).await?;
    output.say("    completed: v2 is the stable version, and every user is on it");
    let (report, unexplained) = traffic.end(None).await?;
    Ok(ScenarioReport {
        title: "a good canary completes",
        figures: format!("users on v2 at each step: {}", shares.join(", ")),
        requests: report.sent,
        unexplained,
    })
}

/// The versions that answered each user, once every user was answered: a user without a response has no version to
/// compare with the previous step's. Requests that were due before the call belong to no step, and do not count.
///
/// # Errors
/// If some users are never answered.
pub async fn answers_of_all_users(
    traffic: &Traffic,
    users: u64,
) -> Result<HashMap<u64, HashMap<String, u64>>> {
    traffic.forget_users();
    // Each user sends to every sidecar within this many requests.
    traffic.more(2 * users).await?;
    let mut answers = traffic.load.take_users();
    for _ in 0..MAX_ROUNDS {
        if answers.len() as u64 == users {
            return Ok(answers);
        }
        // On a busy machine some of those requests were due before the call.
        traffic.more(users).await?;
        for (user, versions) in traffic.load.take_users() {
            let known = answers.entry(user).or_default();
            for (version, count) in versions {
                *known.entry(version).or_default() += count;
            }
        }
    }
    bail!("{} of {users} users had a response after {MAX_ROUNDS} rounds", answers.len())
}

/// The users of a version.
///
/// # Errors
/// If a user had responses of two.
pub fn users_on(version: &str, users: &HashMap<u64, HashMap<String, u64>>) -> Result<HashSet<u64>> {
    let mut on_it = HashSet::new();
    for (user, versions) in users {
        ensure!(versions.len() == 1, "user {user} was on {versions:?} within one step");
        let (served, _) = versions.iter().next().context("a user without an answer")?;
        if served == version {
            on_it.insert(*user);
        }
    }
    Ok(on_it)
}
