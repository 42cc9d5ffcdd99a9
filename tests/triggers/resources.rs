//! Resource usage above 80 %: warning; above 95 %: critical. The version says it by ORCA.

use anyhow::Result;
use tidegate_demo_app::faults::{FaultSettings, OrcaLoad};
use tidegate_tests::status::{at, until_release, waiting_for};

use super::{ONE_WORLD, break_candidate, in_mid_canary, stands, until_alert};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_version_warns_then_alerts_and_goes_on_when_it_is_not() {
    busy().await.unwrap();
}

async fn busy() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let (world, load) = in_mid_canary("{min_requests: 50}").await?;
    let with = |load| FaultSettings { load: Some(load), ..FaultSettings::default() };
    break_candidate(&world, with(OrcaLoad { cpu: 0.85, memory: 0.3, disk: 0.2 }))?;
    let warned = until_alert(&world, "cpu", "warning").await?;
    assert!(waiting_for(&warned).contains("the use of CPU to fall below p90 80%"), "{warned:#}");
    assert_eq!(at(&warned, "/alerts").as_object().map(serde_json::Map::len), Some(1), "{warned:#}");
    break_candidate(&world, with(OrcaLoad { cpu: 0.2, memory: 0.3, disk: 0.97 }))?;
    until_release(&world, "payment", |it| stands(it, "disk", "critical")).await?;
    break_candidate(&world, with(OrcaLoad { cpu: 0.2, memory: 0.3, disk: 0.2 }))?;
    until_release(&world, "payment", |it| at(it, "/phase") == "completed").await?;
    // Nobody was failed: to be busy is no reason to go back.
    load.end(None).await?;
    Ok(())
}
