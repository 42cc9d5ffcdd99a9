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
    assert_eq!(at(&back, "/cause/failure"), "unexpected_status", "{back:#}");
    assert_eq!(
        (at(&back, "/cause/status"), at(&back, "/cause/expected")),
        (&503.into(), &200.into())
    );
    let url = at(&back, "/cause/url").as_str().context("no URL")?;
    let through_envoy = world.previews.iter().any(|preview| url.contains(&preview.to_string()));
    assert!(through_envoy && url.ends_with("/healthz"), "{url}");
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
