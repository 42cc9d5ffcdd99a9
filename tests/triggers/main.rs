//! The decision record's triggers, one by one, on real Envoy: what a version does wrong, and what follows.
//!
//! What ends in a rollback by error rate or response time is in the story's chapters.

mod business;
mod errors;
mod latency;
mod resources;
mod smoke;

use anyhow::Result;
use serde_json::Value;
use tidegate_demo_app::faults::{FaultSettings, Faults};
use tidegate_tests::status::{at, traffic, until_release};
use tidegate_tests::story::{Operator, Traffic};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

/// Worlds share the machine's cores: under plain `cargo test` one at a time. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

/// A world whose payment is in mid-canary at 50 %, under load, with this said of what it promises.
async fn in_mid_canary(guardrails: &str) -> Result<(World, Traffic)> {
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

/// Releases payment v2, and returns what the release looks like once this alert stands.
async fn until_alert(world: &World, guardrail: &str, level: &str) -> Result<Value> {
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "payment", "--version", "v2"]).await?;
    until_release(world, "payment", |it| stands(it, guardrail, level)).await
}

/// Whether an alert stands, and the release is still running.
fn stands(release: &Value, guardrail: &str, level: &str) -> bool {
    at(release, "/phase") == "stepping" && at(release, "/alerts")[guardrail] == level
}

/// Has payment's candidate do this.
fn break_candidate(world: &World, settings: FaultSettings) -> Result<()> {
    world.backends.get("payment", "v2")?.set_faults(Faults::try_from(settings)?);
    Ok(())
}

/// Has it do no wrong any more, and waits until the release is complete by itself.
async fn recovers(world: &World) -> Result<()> {
    break_candidate(world, FaultSettings::default())?;
    until_release(world, "payment", |it| at(it, "/phase") == "completed").await?;
    Ok(())
}
