//! No request fails during a hundred weight steps, a restart and a kill of the control plane among them, nor when a cluster
//! is removed together with the routes to it. On real Envoys, under load at a fixed rate.

mod sidecars;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::story::{Operator, Phase, ReleaseView, Traffic};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

/// Requests per second, and users, of each of the two loads.
const RATE: f64 = 200.0;
const USERS: u64 = 200;
/// Number of times a cluster is replaced.
const REPLACEMENTS: usize = 4;

/// Worlds share the machine's cores. `cargo test` runs one at a time by this lock, nextest by its test groups.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_during_changes_delta() {
    no_request_fails_during_changes(XdsMode::Delta).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "make test-matrix"]
async fn no_request_fails_during_changes_sotw() {
    no_request_fails_during_changes(XdsMode::Sotw).await.unwrap();
}

/// How the control plane is stopped.
#[derive(Debug, Clone, Copy)]
enum End {
    /// SIGTERM: a restart by an operator.
    Terminated,
    /// SIGKILL: a crash.
    Killed,
}

async fn no_request_fails_during_changes(mode: XdsMode) -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let mut world =
        World::start(WorldOptions { mode, knobs: knobs(), ..WorldOptions::default() }).await?;
    let order = Traffic::start(&world, "order", RATE, USERS).await?;
    let product = Traffic::start(&world, "product", RATE, USERS).await?;

    Operator::new(&world.control).run(&["release", "start", "order", "--version", "v2"]).await?;
    climb_to(&world, 0.33).await?;
    restarts(&mut world, End::Terminated, &order).await?;
    climb_to(&world, 0.66).await?;
    restarts(&mut world, End::Killed, &order).await?;
    climb_to(&world, 1.0).await?;
    order.until_only("v2", 2 * USERS).await?;

    replaces(&world, &product).await?;
    order.end(None).await?;
    product.end(None).await?;
    Ok(())
}

/// A hundred steps of the shortest duration.
fn knobs() -> Knobs {
    let steps = (1..=100).map(|percent| format!("{percent}%")).collect::<Vec<_>>().join(", ");
    let order = format!(
        "{{canary: {{steps: [{steps}], step_time: 100ms, watch: 1h, holdback: 0%, min_requests: 1}}}}"
    );
    let product = "{blue_green: {watch: 1h, smoke_tests: [{path: /healthz, expect: 200}]}}";
    let strategies = [("order", order), ("product", product.to_owned())];
    let strategies = strategies.map(|(name, strategy)| (name.to_owned(), strategy)).into();
    Knobs { strategies, ..Knobs::default() }
}

/// Waits until the candidate of `order` has at least this weight, 0 to 1.
async fn climb_to(world: &World, share: f64) -> Result<()> {
    let operator = Operator::new(&world.control);
    let mut now = operator.release("order").await?.weight;
    while now < share {
        // All steps may take longer than the time limit of one wait: each has its own.
        now = operator.until("order", |release| release.weight > now).await?.weight;
    }
    Ok(())
}

/// The control plane is stopped and started again while the release is paused: every sidecar keeps its configuration,
/// byte for byte. The release is resumed afterwards.
async fn restarts(world: &mut World, end: End, load: &Traffic) -> Result<()> {
    let operator = Operator::new(&world.control);
    operator.run(&["release", "pause", "order"]).await?;
    sidecars::until_synced(world).await?;
    let before = operator.release("order").await?;
    let configured = sidecars::configurations(world).await?;

    match end {
        End::Terminated => {
            let status = world.control.terminate().await?;
            ensure!(status.success(), "the control plane stopped in {status}");
        }
        End::Killed => world.control.kill9()?,
    }
    load.more(2 * USERS).await?;
    ensure!(
        sidecars::configurations(world).await? == configured,
        "a configuration changed without a control plane"
    );
    world.control.restart().await?;
    sidecars::until_synced(world).await?;
    let now = sidecars::configurations(world).await?;
    ensure!(now == configured, "{end:?}: the configuration changed");

    let operator = Operator::new(&world.control);
    let after = operator.release("order").await?;
    ensure!((&after.id, after.weight) == (&before.id, before.weight), "{before:?}, then {after:?}");
    operator.run(&["release", "resume", "order"]).await?;
    operator.until("order", |release| release.weight > before.weight).await?;
    Ok(())
}

/// A release moves `product` to the other environment. As soon as it completes, a version is deployed to the environment
/// that it left: the old cluster is removed together with the routes to it.
async fn replaces(world: &World, load: &Traffic) -> Result<()> {
    let operator = Operator::new(&world.control);
    let blue = world.backends.get("product", "v1")?.address().to_string();
    let green = world.backends.get("product", "v2")?.address().to_string();
    let (mut left, mut entered) = (("blue", blue), ("green", green));
    let (mut old, mut new) = ("v1".to_owned(), "v2".to_owned());
    for round in 1..=REPLACEMENTS {
        operator.run(&["release", "start", "product", "--version", &new]).await?;
        let switched = |it: &ReleaseView| it.phase == Phase::Watching && it.converged;
        let release = operator.until("product", switched).await?.id;
        load.more(USERS).await?;
        let next = format!("r{round}");
        let path = format!("services/product/versions/{next}");
        let deployed = json!({"endpoints": [left.1], "environment": left.0});
        let completed =
            world.control.post(&format!("releases/{release}/promote"), &json!({})).await?;
        let answer = world.control.ask(Method::PUT, &path, Some(&deployed)).await?;
        ensure!(completed.status.is_success(), "promote: {}", completed.body);
        ensure!(answer.status.is_success(), "PUT {path}: {}", answer.body);
        let (there, gone) = (format!("product/{next}"), format!("product/{old}"));
        sidecars::until_clusters(world, &there, &gone).await?;
        (left, entered) = (entered, left);
        (old, new) = (new, next);
    }
    Ok(())
}
