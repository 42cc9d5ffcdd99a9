//! Response time: a warning, then a critical alert, then back by itself. The limits are those of a test that does not
//! wait ten seconds for an answer.

use anyhow::Result;
use tidegate_demo_app::faults::{FaultSettings, Latency};
use tidegate_tests::status::{at, until_release, waiting_for};

use super::{ONE_WORLD, break_candidate, in_mid_canary, stands, until_alert};

const LIMITS: &str = "{latency: {quantile: p99, warning: 200ms, critical: 600ms, rollback: 1500ms}, min_requests: 50}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_version_warns_then_alerts_then_goes_back() {
    slows().await.unwrap();
}

async fn slows() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let (world, load) = in_mid_canary(LIMITS).await?;
    let taking = |millis: f64| FaultSettings {
        latency: Some(Latency { median_ms: millis, p99_ms: millis }),
        ..FaultSettings::default()
    };
    break_candidate(&world, taking(350.0))?;
    let warned = until_alert(&world, "latency", "warning").await?;
    assert!(waiting_for(&warned).contains("the latency to fall below p99 200ms"), "{warned:#}");
    break_candidate(&world, taking(900.0))?;
    until_release(&world, "payment", |it| stands(it, "latency", "critical")).await?;
    break_candidate(&world, taking(2_000.0))?;
    let back = until_release(&world, "payment", |it| at(it, "/phase") == "rolled_back").await?;
    assert_eq!(at(&back, "/cause/finding/guardrail"), "latency", "{back:#}");
    load.until_only("v1", 300).await?;
    // Slow answers are answers: nobody was failed.
    load.end(None).await?;
    Ok(())
}
