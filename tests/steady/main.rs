//! What must not cost a request: a hundred weight steps, a control plane that is restarted and one that
//! is killed among them, and clusters that go together with the routes to them. On real
//! Envoys, under a load that does not wait for answers.

mod sidecars;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use tidegate_tests::control_plane::XdsMode;
use tidegate_tests::story::{Operator, Phase, ReleaseView, Traffic};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

/// Requests a second, and users, of each of the two loads.
const RATE: f64 = 200.0;
const USERS: u64 = 200;
/// How often a cluster goes.
const DISPLACEMENTS: usize = 4;

/// Worlds share the machine's cores: under plain `cargo test` one at a time. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_whatever_moves_delta() {
    no_request_fails_whatever_moves(XdsMode::Delta).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_whatever_moves_sotw() {
    no_request_fails_whatever_moves(XdsMode::Sotw).await.unwrap();
}

/// How a control plane goes.
#[derive(Debug, Clone, Copy)]
enum End {
    /// SIGTERM: an operator's restart.
    Asked,
    /// SIGKILL: a crash.
    Killed,
}

async fn no_request_fails_whatever_moves(mode: XdsMode) -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let mut world =
        World::start(WorldOptions { mode, knobs: knobs(), ..WorldOptions::default() }).await?;
    let order = Traffic::start(&world, "order", RATE, USERS).await?;
    let product = Traffic::start(&world, "product", RATE, USERS).await?;

    Operator::new(&world.control).run(&["release", "start", "order", "--version", "v2"]).await?;
    climb_to(&world, 0.33).await?;
    comes_back(&mut world, End::Asked, &order).await?;
    climb_to(&world, 0.66).await?;
    comes_back(&mut world, End::Killed, &order).await?;
    climb_to(&world, 1.0).await?;
    order.until_only("v2", 2 * USERS).await?;

    displaces(&world, &product).await?;
    order.end(None).await?;
    product.end(None).await?;
    Ok(())
}

/// A hundred steps, as fast as they go.
fn knobs() -> Knobs {
    let steps = (1..=100).map(|percent| format!("{percent}%")).collect::<Vec<_>>().join(", ");
    let order =
        format!("{{canary: {{steps: [{steps}], step_time: 100ms, watch: 1h, min_requests: 1}}}}");
    let product = "{blue_green: {watch: 1h, smoke_tests: [{path: /healthz, expect: 200}]}}";
    let strategies = [("order", order), ("product", product.to_owned())];
    let strategies = strategies.map(|(name, strategy)| (name.to_owned(), strategy)).into();
    Knobs { strategies, ..Knobs::default() }
}

/// Waits until the candidate of `order` has this share.
async fn climb_to(world: &World, share: f64) -> Result<()> {
    let operator = Operator::new(&world.control);
    let mut now = operator.release("order").await?.weight;
    while now < share {
        // All of it may take longer than one wait has patience for; any step is a sign of life.
        now = operator.until("order", |release| release.weight > now).await?.weight;
    }
    Ok(())
}

/// The control plane goes and comes back. Nothing moves meanwhile, so every sidecar must keep the very
/// configuration that it had; afterwards weights move again.
async fn comes_back(world: &mut World, end: End, load: &Traffic) -> Result<()> {
    let operator = Operator::new(&world.control);
    operator.run(&["release", "pause", "order"]).await?;
    sidecars::until_all_have_it(world).await?;
    let before = operator.release("order").await?;
    let configured = sidecars::configurations(world).await?;

    match end {
        End::Asked => {
            let status = world.control.terminate().await?;
            ensure!(status.success(), "the control plane stopped in {status}");
        }
        End::Killed => world.control.kill9()?,
    }
    load.more(2 * USERS).await?;
    ensure!(sidecars::configurations(world).await? == configured, "something moved by itself");
    world.control.restart().await?;
    sidecars::until_all_have_it(world).await?;
    let now = sidecars::configurations(world).await?;
    ensure!(now == configured, "{end:?}: another configuration than before");

    let operator = Operator::new(&world.control);
    let after = operator.release("order").await?;
    ensure!((&after.id, after.weight) == (&before.id, before.weight), "{before:?}, then {after:?}");
    operator.run(&["release", "resume", "order"]).await?;
    operator.until("order", |release| release.weight > before.weight).await?;
    Ok(())
}

/// `product` goes from one environment to the other, and something else is deployed over the one that it
/// left at the very moment when the release completes: its cluster goes together with the routes to it.
async fn displaces(world: &World, load: &Traffic) -> Result<()> {
    let operator = Operator::new(&world.control);
    let blue = world.backends.get("product", "v1")?.address().to_string();
    let green = world.backends.get("product", "v2")?.address().to_string();
    let (mut left, mut entered) = (("blue", blue), ("green", green));
    let (mut old, mut new) = ("v1".to_owned(), "v2".to_owned());
    for round in 1..=DISPLACEMENTS {
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
