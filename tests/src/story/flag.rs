//! (d) A flag sends some users to a version while its weight is 0.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tidegate_demo_app::load::LoadConfig;

use super::{Chapter, Narrator, Operator, Traffic};
use crate::World;

const FLAG: &str = "order-beta";
const REQUESTS: u64 = 200;

/// Users with `x-beta: yes` get order v2, all others v1.
///
/// # Errors
/// If anybody met the other version once the flag had arrived.
pub async fn flag_routes_at_weight_zero(world: &World, narrator: &Narrator) -> Result<Chapter> {
    let operator = Operator::new(&world.control);
    narrator
        .say("(d) a flag should send the users of one header to order v2 while its weight is 0");
    if operator.stable("order").await? == "v2" {
        operator.run(&["release", "rollback", "order"]).await?;
        narrator.say("    (first: the complete release of (a) is rolled back, in one push)");
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
    narrator.say(format_args!("    flag on: {REQUESTS} of {REQUESTS} beta requests on v2"));
    plain.until_only("v1", REQUESTS).await?;
    let release = operator.release("order").await.ok();
    ensure!(
        release.is_none_or(|release| !release.is_running()),
        "a release runs: its weight could have sent users to v2"
    );

    operator.run(&["flag", "delete", FLAG]).await?;
    beta.until_only("v1", REQUESTS).await?;
    narrator.say("    flag gone: back on v1");
    let (with, caused_with) = beta.end(None).await?;
    let (without, caused_without) = plain.end(None).await?;
    Ok(Chapter {
        title: "a flag routes while the weight is 0",
        found: format!("{REQUESTS} requests in a row on v2 with the header, on v1 without"),
        requests: with.sent + without.sent,
        caused: caused_with + caused_without,
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
