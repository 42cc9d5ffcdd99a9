//! DNS updates at a release and its rollback, also when control plane or DNS server crash. DNS blocks no rollback.

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::Value;
use tidegate_tests::status::at;
use tidegate_tests::story::Operator;
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};

use super::bind::Bind;
use super::{ONE_WORLD, one_sidecar, until_service};

const BLUE: &str = "192.0.2.1";
const GREEN: &str = "192.0.2.2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_follow_a_release_and_its_rollback() {
    release_and_rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_resume_after_crashes_and_an_unreachable_server_blocks_no_rollback() {
    crashes().await.unwrap();
}

/// A world in which `product` has a name on this server, with this TTL.
async fn world(bind: &Bind, ttl: &str) -> Result<World> {
    let dns = format!(
        "dns: {{zone: example.org, name: product.example.org, server: \"{}\", ttl: {ttl}, \
         tsig: {{name: tidegate, key_file: {:?}}}, records: {{blue: [\"{BLUE}\"], green: [\"{GREEN}\"]}}}}",
        bind.address,
        bind.dir.path().join("key"),
    );
    let strategy = "{blue_green: {watch: 1s, min_requests: 1}}".to_owned();
    let knobs = Knobs {
        extras: [("product".to_owned(), vec![dns])].into(),
        strategies: [("product".to_owned(), strategy)].into(),
        ..Knobs::default()
    };
    World::start(WorldOptions { knobs, ..one_sidecar() }).await
}

fn is_blocked_by(service: &Value, kind: &str) -> bool {
    let blockers = at(service, "/release/progress/blockers").as_array();
    blockers.into_iter().flatten().any(|blocker| blocker["kind"] == kind)
}

async fn release_and_rollback() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let bind = Bind::start().await?;
    let world = world(&bind, "1h").await?;
    bind.until(BLUE).await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "product", "--version", "v2"]).await?;
    bind.until(GREEN).await?;
    let seen = until_service(&world, "product", |it| is_blocked_by(it, "dns_caches")).await?;
    assert_eq!(at(&seen, "/release/phase"), "watching");
    assert_eq!(at(&seen, "/dns/published/addresses/0"), GREEN);

    operator.run(&["release", "rollback", "product"]).await?;
    bind.until(BLUE).await?;
    let seen =
        until_service(&world, "product", |it| at(it, "/dns/published/addresses/0") == BLUE).await?;
    assert_eq!(at(&seen, "/release/phase"), "rolled_back");
    operator.run(&["audit", "verify"]).await?;
    Ok(())
}

async fn crashes() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let bind = Bind::start().await?;
    let mut world = world(&bind, "1s").await?;
    bind.until(BLUE).await?;
    // BIND hangs while the release switches, and the control plane crashes.
    bind.signal(Signal::SIGSTOP)?;
    Operator::new(&world.control).run(&["release", "start", "product", "--version", "v2"]).await?;
    until_service(&world, "product", |it| is_blocked_by(it, "dns")).await?;
    world.control.kill9()?;
    bind.signal(Signal::SIGCONT)?;
    world.control.restart().await?;
    bind.until(GREEN).await?;

    // BIND restarts without the updates: the records are updated again.
    let stopped = bind.kill9()?;
    until_service(&world, "product", |it| at(it, "/dns/error").is_string()).await?;
    let bind = Bind::restart_without_updates(stopped).await?;
    bind.until(GREEN).await?;
    until_service(&world, "product", |it| at(it, "/dns/error").is_null()).await?;

    // BIND crashes again: the rollback is not blocked.
    let _stopped = bind.kill9()?;
    until_service(&world, "product", |it| at(it, "/dns/error").is_string()).await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "rollback", "product"]).await?;
    let seen =
        until_service(&world, "product", |it| at(it, "/release/phase") == "rolled_back").await?;
    assert_eq!(at(&seen, "/stable"), "v1");
    Ok(())
}
