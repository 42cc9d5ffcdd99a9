//! A failing smoke test before the switch: the candidate receives no user request.

use anyhow::{Context, Result};
use tidegate_demo_app::faults::{FaultSettings, Faults};
use tidegate_tests::status::{at, traffic, until_release};
use tidegate_tests::story::Operator;
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions};

use super::ONE_WORLD;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_fails_its_smoke_test_receives_no_traffic() {
    smoke_test().await.unwrap();
}

async fn smoke_test() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let knobs = Knobs { preview: true, watch: "1s".to_owned(), ..Knobs::default() };
    let world = World::start(WorldOptions { knobs, ..WorldOptions::default() }).await?;
    let operator = Operator::new(&world.control);
    let load = traffic(&world, "product").await?;
    let candidate = world.backends.get("product", "v2")?;
    let broken = FaultSettings { error_share: 1.0, healthz: true, ..FaultSettings::default() };
    candidate.set_faults(Faults::try_from(broken)?);
    operator.run(&["release", "start", "product", "--version", "v2"]).await?;
    let back = until_release(&world, "product", |it| at(it, "/phase") == "rolled_back").await?;
    let failure = at(&back, "/cause/failure").as_str().context("no failure")?;
    let through_envoy = world.previews.iter().any(|preview| failure.contains(&preview.to_string()));
    assert!(through_envoy && failure.ends_with("/healthz: status 503, expected 200"), "{failure}");
    load.more(300).await?;
    let seen = load.seen();
    assert_eq!(seen.finished_by("v2"), 0);

    // The preview listener rejects requests without its key.
    let preview = world.previews.first().context("no preview")?;
    let ask = reqwest::Client::new().get(format!("http://{preview}/"));
    let ask = ask.header("host", "product.local").header("x-tidegate-version", "v2");
    assert_eq!(ask.send().await?.status(), 403);

    candidate.set_faults(Faults::default());
    operator.run(&["release", "start", "product", "--version", "v2"]).await?;
    until_release(&world, "product", |it| at(it, "/phase") == "watching").await?;
    load.until_only("v2", 100).await?;
    load.end(None).await?;
    Ok(())
}
