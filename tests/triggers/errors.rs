//! Error rate above 1 %: somebody is told, and the release waits.

use anyhow::Result;
use tidegate_demo_app::faults::FaultSettings;
use tidegate_tests::status::waiting_for;

use super::{ONE_WORLD, break_candidate, in_mid_canary, recovers, until_alert};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_one_per_cent_alerts_and_holds_until_it_is_over() {
    alerts().await.unwrap();
}

async fn alerts() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let (world, load) = in_mid_canary("{error_rate: {alert: 1%, rollback: 50%}}").await?;
    break_candidate(&world, FaultSettings { error_share: 0.1, ..FaultSettings::default() })?;
    let held = until_alert(&world, "error_rate", "critical").await?;
    assert!(waiting_for(&held).contains("the error rate to fall below 1%"), "{held:#}");
    recovers(&world).await?;
    load.end(Some("v2")).await?;
    Ok(())
}
