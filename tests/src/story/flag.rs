//! (d) A flag sends some users to a version while its weight is 0.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tidegate_demo_app::load::LoadConfig;

use super::{Operator, ProgressOutput, ScenarioReport, Traffic};
use crate::World;

const FLAG: &str = "order-beta";
const REQUESTS: u64 = 200;

/// Users with `x-beta: yes` are routed to order v2, all others to v1.
///
/// # Errors
/// If a user is on the other version after the flag was applied.
pub async fn flag_routes_at_weight_zero(
    world: &World,
    output: &ProgressOutput,
) -> Result<ScenarioReport> {
    let operator = Operator::new(&world.control);
    output.say("(d) a flag routes requests with one header to order v2 while its weight is 0");
    if operator.stable("order").await? == "v2" {
        operator.run(&["release", "rollback", "order"]).await?;
        operator.run(&["version", "allow-flags", "order", "v2"]).await?;
        output.say("    (first the completed release of (a) is rolled back, and flags may select v2 again)");
    }
    let plain = world.load("order");
    let beta = LoadConfig { headers: vec![("x-beta".into(), "yes".into())], ..plain.clone() };
    let beta = Traffic::with("beta order", &beta).await?;
    let plain = Traffic::with("plain order", &plain).await?;
    plain.until_only("v1", REQUESTS).await?;

    let file = world.dir().join("order-beta.json");
    std::fs::write(&file, flag().to_string())?;
    let path = file.to_str().context("a path that is not UTF-8")?;
    operator.run(&["flag", "set", "-f", path]).await?;
    beta.until_only("v2", REQUESTS).await?;
    output.say(format_args!("    flag on: {REQUESTS} of {REQUESTS} beta requests on v2"));
    plain.until_only("v1", REQUESTS).await?;
    let release = operator.release("order").await.ok();
    ensure!(
        release.is_none_or(|release| !release.is_running()),
        "a release is running: its weight may have routed users to v2"
    );

    operator.run(&["flag", "delete", FLAG]).await?;
    beta.until_only("v1", REQUESTS).await?;
    output.say("    flag deleted: on v1");
    let (with, caused_with) = beta.end(None).await?;
    let (without, caused_without) = plain.end(None).await?;
    Ok(ScenarioReport {
        title: "a flag routes while the weight is 0",
        figures: format!("{REQUESTS} requests in a row on v2 with the header, on v1 without"),
        requests: with.sent + without.sent,
        unexplained: caused_with + caused_without,
    })
}

fn flag() -> serde_json::Value {
    json!({"flags": {FLAG: {
        "state": "ENABLED",
        "variants": {"beta": "v2", "off": ""},
        "defaultVariant": "off",
        "targeting": {"if": [{"==": [{"var": "headers.x-beta"}, "yes"]}, "beta", "off"]},
        "metadata": {"service": "order"},
    }}})
}
