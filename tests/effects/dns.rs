//! DNS follows a release there and back, through crashes of both sides, and holds no rollback.

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::Value;
use tidegate_tests::story::Operator;
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};

use super::bind::Bind;
use super::{ONE_WORLD, at, one_sidecar, until_service};

const BLUE: &str = "192.0.2.1";
const GREEN: &str = "192.0.2.2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follows_there_and_back() {
    there_and_back().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follows_after_a_crash_and_a_dead_server_blocks_no_rollback() {
    crash_and_dead_server().await.unwrap();
}

/// `product` follows this server, whose answers may be kept for so long.
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

fn waits_for(service: &Value, words: &str) -> bool {
    at(service, "/release/progress/blockers").to_string().contains(words)
}

async fn there_and_back() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let bind = Bind::start().await?;
    let world = world(&bind, "1h").await?;
    bind.until(BLUE).await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "product", "--version", "v2"]).await?;
    bind.until(GREEN).await?;
    let seen = until_service(&world, "product", |it| {
        waits_for(it, "old answers for `product.example.org.` to expire")
    })
    .await?;
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

async fn crash_and_dead_server() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let bind = Bind::start().await?;
    let mut world = world(&bind, "1s").await?;
    bind.until(BLUE).await?;
    // BIND hangs while the release switches, and the control plane dies.
    bind.signal(Signal::SIGSTOP)?;
    Operator::new(&world.control).run(&["release", "start", "product", "--version", "v2"]).await?;
    until_service(&world, "product", |it| waits_for(it, "DNS: ")).await?;
    world.control.kill9()?;
    bind.signal(Signal::SIGCONT)?;
    world.control.restart().await?;
    bind.until(GREEN).await?;

    // BIND dies and has forgotten all updates: that is seen, and put right.
    let grave = bind.kill9()?;
    until_service(&world, "product", |it| at(it, "/dns/error").is_string()).await?;
    let bind = Bind::comes_back_empty(grave).await?;
    bind.until(GREEN).await?;
    until_service(&world, "product", |it| at(it, "/dns/error").is_null()).await?;

    // It dies again, and the release goes back all the same.
    let _grave = bind.kill9()?;
    until_service(&world, "product", |it| at(it, "/dns/error").is_string()).await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "rollback", "product"]).await?;
    let seen =
        until_service(&world, "product", |it| at(it, "/release/phase") == "rolled_back").await?;
    assert_eq!(at(&seen, "/stable"), "v1");
    Ok(())
}
