//! Clients that retry what fails on both versions: each is one failure, and no reason for a rollback.

use anyhow::{Context, Result};
use tidegate_core::bucket::bucket;
use tidegate_demo_app::load::LoadConfig;
use tidegate_tests::story::Traffic;

use super::{Behaviour, ONE_WORLD, Outcomes, at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_retries_what_fails_on_both_versions_rolls_nothing_back() {
    retries().await.unwrap();
}

async fn retries() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start("{}", &[]).await?;
    outcomes.stable.behave(Behaviour::FailingAt("/broken"));
    outcomes.candidate.behave(Behaviour::FailingAt("/broken"));
    let load = outcomes.traffic().await?;
    outcomes.start_release().await?;
    load.until("a response of v2", |seen| (seen.finished_by("v2") > 0).then_some(())).await?;
    let retries = retrying(&outcomes).await?;
    outcomes.until_completed().await?;
    load.end(None).await?;
    let (report, _) = retries.end(Some("v2")).await?;
    assert!(report.failed > 100, "the client retried: {report:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_fails_for_all_is_rolled_back_while_one_client_retries() {
    broken().await.unwrap();
}

async fn broken() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start("{}", &[]).await?;
    outcomes.stable.behave(Behaviour::FailingAt("/broken"));
    outcomes.candidate.behave(Behaviour::Status(500, "text/plain"));
    let _retries = retrying(&outcomes).await?;
    let load = outcomes.traffic().await?;
    outcomes.start_release().await?;
    let finding = outcomes.until_rolled_back("error_rate").await?;
    assert_eq!(at(&finding, "/bad"), at(&finding, "/requests"), "{finding:#}");
    load.until_only("v1", 300).await?;
    Ok(())
}

/// 20 requests a second of one client that the first release sends to its candidate.
async fn retrying(outcomes: &Outcomes) -> Result<Traffic> {
    let on_candidate = |name: &String| bucket(b"payment.1", name.as_bytes()) < 500_000;
    let client = (0..100).map(|it| format!("retrying-{it}")).find(on_candidate);
    let config = LoadConfig {
        rate: 20.0,
        users: 0,
        headers: vec![("x-user-id".to_owned(), client.context("no such client")?)],
        path: "/broken".to_owned(),
        ..outcomes.load()?
    };
    Traffic::with("payment", &config).await
}
