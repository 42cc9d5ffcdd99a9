//! The triggers of the decision record, one by one, on a real Envoy: the fault of a version, and the alert or rollback
//! that follows. Rollbacks by error rate and response time are also part of the demo story.

mod guardrails;
mod smoke;

use anyhow::Result;
use serde_json::Value;
use tidegate_demo_app::faults::{FaultSettings, Faults};
use tidegate_tests::status::{at, traffic, until_release};
use tidegate_tests::story::{Operator, Traffic};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

/// Serialises the tests under `cargo test`, because they share the CPU. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

/// A world under load, with these guardrails, in which `payment` has a canary step of 50 %.
async fn world_under_load(guardrails: &str) -> Result<(World, Traffic)> {
    let canary = "{canary: {steps: [50%, 100%], step_time: 2s, min_requests: 100, watch: 1s}}";
    let knobs = Knobs {
        defaults: Some(format!("{{guardrails: {guardrails}}}")),
        strategies: [("payment".to_owned(), canary.to_owned())].into(),
        ..Knobs::default()
    };
    let world =
        World::start(WorldOptions { sidecars: 1, knobs, ..WorldOptions::default() }).await?;
    let load = traffic(&world, "payment").await?;
    Ok((world, load))
}

/// Starts a release of payment v2, and waits until it has this alert.
async fn until_alert(world: &World, guardrail: &str, level: &str) -> Result<Value> {
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "payment", "--version", "v2"]).await?;
    until_release(world, "payment", |it| has_alert(it, guardrail, level)).await
}

/// Whether the release has this alert and is still in its step.
fn has_alert(release: &Value, guardrail: &str, level: &str) -> bool {
    at(release, "/phase") == "stepping" && at(release, "/alerts")[guardrail] == level
}

/// Whether an alert of this guardrail blocks the release.
fn is_blocked_by_alert(release: &Value, guardrail: &str) -> bool {
    let blockers = at(release, "/progress/blockers").as_array();
    let matches = |blocker: &Value| {
        at(blocker, "/kind") == "alert" && at(blocker, "/finding/guardrail") == guardrail
    };
    blockers.into_iter().flatten().any(matches)
}

/// Sets the faults of payment's candidate.
fn set_faults_of_candidate(world: &World, settings: FaultSettings) -> Result<()> {
    world.backends.get("payment", "v2")?.set_faults(Faults::try_from(settings)?);
    Ok(())
}

/// Clears the faults and waits until the release completes.
async fn recovers(world: &World) -> Result<()> {
    set_faults_of_candidate(world, FaultSettings::default())?;
    until_release(world, "payment", |it| at(it, "/phase") == "completed").await?;
    Ok(())
}
