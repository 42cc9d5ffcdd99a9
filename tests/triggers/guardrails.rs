//! Guardrails: the alerts, and for latency the rollback, that the faults of a candidate cause.

use anyhow::Result;
use tidegate_demo_app::faults::{FaultSettings, Latency, OrcaLoad};
use tidegate_tests::status::{at, release, until_release};
use tidegate_tests::story::Operator;

use super::{
    ONE_WORLD, has_alert, is_blocked_by_alert, recovers, set_faults_of_candidate, until_alert,
    world_under_load,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_rate_above_its_alert_limit_blocks_the_release_until_it_falls() {
    error_rate().await.unwrap();
}

async fn error_rate() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let (world, load) =
        world_under_load("{error_rate: {alert: 1%, rollback: 50%, worse_than_stable: hold}}")
            .await?;
    set_faults_of_candidate(
        &world,
        FaultSettings { error_share: 0.1, ..FaultSettings::default() },
    )?;
    let blocked = until_alert(&world, "error_rate", "critical").await?;
    assert!(is_blocked_by_alert(&blocked, "error_rate"), "{blocked:#}");
    recovers(&world).await?;
    load.end(Some("v2")).await?;
    Ok(())
}

const LIMITS: &str = "{latency: {quantile: p99, warning: 200ms, critical: 600ms, rollback: 1500ms, worse_than_stable: hold}, min_requests: 50}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rising_latency_warns_then_alerts_then_rolls_back() {
    latency().await.unwrap();
}

async fn latency() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let (world, load) = world_under_load(LIMITS).await?;
    let taking = |millis: f64| FaultSettings {
        latency: Some(Latency { median_ms: millis, p99_ms: millis }),
        ..FaultSettings::default()
    };
    set_faults_of_candidate(&world, taking(350.0))?;
    let warned = until_alert(&world, "latency", "warning").await?;
    assert!(is_blocked_by_alert(&warned, "latency"), "{warned:#}");
    set_faults_of_candidate(&world, taking(900.0))?;
    until_release(&world, "payment", |it| has_alert(it, "latency", "critical")).await?;
    set_faults_of_candidate(&world, taking(2_000.0))?;
    let back = until_release(&world, "payment", |it| at(it, "/phase") == "rolled_back").await?;
    assert_eq!(at(&back, "/cause/finding/guardrail"), "latency", "{back:#}");
    load.until_only("v1", 300).await?;
    // Slow responses are not failures.
    load.end(None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn high_resource_use_alerts_and_the_release_resumes_when_it_falls() {
    resource_use().await.unwrap();
}

async fn resource_use() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let (world, load) = world_under_load("{min_requests: 50}").await?;
    let with = |load| FaultSettings { load: Some(load), ..FaultSettings::default() };
    set_faults_of_candidate(&world, with(OrcaLoad { cpu: 0.85, memory: 0.3, disk: 0.2 }))?;
    let warned = until_alert(&world, "cpu", "warning").await?;
    assert!(is_blocked_by_alert(&warned, "cpu"), "{warned:#}");
    assert_eq!(at(&warned, "/alerts").as_object().map(serde_json::Map::len), Some(1), "{warned:#}");
    set_faults_of_candidate(&world, with(OrcaLoad { cpu: 0.2, memory: 0.3, disk: 0.97 }))?;
    until_release(&world, "payment", |it| has_alert(it, "disk", "critical")).await?;
    set_faults_of_candidate(&world, with(OrcaLoad { cpu: 0.2, memory: 0.3, disk: 0.2 }))?;
    until_release(&world, "payment", |it| at(it, "/phase") == "completed").await?;
    // High resource use fails no requests and rolls nothing back.
    load.end(None).await?;
    Ok(())
}

const PAID: &str = "{business: [{name: payment_success, of: {method: GET, path: /*}, \
                    good: {status: 200, header: {name: x-outcome, value: paid}}, at_least: 95%}]}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_business_metric_blocks_the_release_and_never_rolls_it_back() {
    business_metric().await.unwrap();
}

async fn business_metric() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let (world, load) = world_under_load(PAID).await?;
    let outcome = |outcome: &str| FaultSettings {
        outcome: Some(outcome.to_owned()),
        ..FaultSettings::default()
    };
    set_faults_of_candidate(&world, outcome("declined"))?;
    let blocked = until_alert(&world, "business/payment_success", "critical").await?;
    assert!(is_blocked_by_alert(&blocked, "business/payment_success"), "{blocked:#}");
    // More requests than the step needs, all declined: no automatic rollback.
    load.more(600).await?;
    assert_eq!(at(&release(&world, "payment").await?, "/phase"), "stepping");

    let operator = Operator::new(&world.control);
    operator.run(&["release", "rollback", "payment"]).await?;
    let back = until_release(&world, "payment", |it| at(it, "/phase") == "rolled_back").await?;
    assert_eq!(at(&back, "/cause/kind"), "operator", "{back:#}");
    load.until_only("v1", 300).await?;
    load.end(None).await?;

    set_faults_of_candidate(&world, outcome("paid"))?;
    let load = tidegate_tests::status::traffic(&world, "payment").await?;
    operator.run(&["release", "start", "payment", "--version", "v2"]).await?;
    until_release(&world, "payment", |it| at(it, "/phase") == "completed").await?;
    load.end(None).await?;
    Ok(())
}
