//! Answers that look good by their status, or bad.

use anyhow::Result;
use tidegate_demo_app::load::LoadConfig;
use tidegate_tests::story::Traffic;

use super::backend::GOOD;
use super::{Behaviour, ONE_WORLD, Outcomes, at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_responses_behind_a_good_status_are_rolled_back() {
    truncated().await.unwrap();
}

async fn truncated() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start("{}", &[]).await?;
    outcomes.candidate.behave(Behaviour::Truncated);
    let load = outcomes.traffic().await?;
    outcomes.start_release().await?;
    let finding = outcomes.until_rolled_back("error_rate").await?;
    assert_eq!(at(&finding, "/bad"), at(&finding, "/requests"), "{finding:#}");
    load.until_only("v1", 300).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_web_calls_are_no_errors() {
    grpc_web().await.unwrap();
}

async fn grpc_web() -> Result<()> {
    const KIND: &str = "application/grpc-web+proto";
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start("{}", &[]).await?;
    outcomes.candidate.behave(Behaviour::Status(200, KIND));
    outcomes.stable.behave(Behaviour::Status(200, KIND));
    let headers = vec![("content-type".to_owned(), KIND.to_owned())];
    let config = LoadConfig { headers, ..outcomes.load()? };
    let load = Traffic::with("payment", &config).await?;
    outcomes.start_release().await?;
    outcomes.until_completed().await?;
    load.end(None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_answers_only_404_is_rolled_back_and_an_equal_share_is_nothing() {
    client_errors().await.unwrap();
}

async fn client_errors() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start("{}", &[]).await?;
    let missing = Behaviour::Status(404, "text/plain");
    outcomes.candidate.behave(missing.clone());
    let _load = outcomes.traffic().await?;
    outcomes.start_release().await?;
    let finding = outcomes.until_rolled_back("client_errors").await?;
    assert_eq!(at(&finding, "/limit/kind"), "stable", "{finding:#}");
    // Both versions answer 404.
    outcomes.stable.behave(missing);
    outcomes.start_release().await?;
    outcomes.until_completed().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excluded_requests_are_no_evidence() {
    excluded().await.unwrap();
}

async fn excluded() -> Result<()> {
    let _alone = ONE_WORLD.lock().await;
    let outcomes = Outcomes::start("{}", &["evidence: {exclude: [{path: /probe}]}"]).await?;
    outcomes.candidate.behave(Behaviour::FailingAt("/probe"));
    let load = outcomes.traffic().await?;
    let probes = LoadConfig { path: "/probe".to_owned(), ..outcomes.load()? };
    let probes = Traffic::with("payment", &probes).await?;
    outcomes.start_release().await?;
    outcomes.until_completed().await?;
    load.end(None).await?;
    let (report, _) = probes.end(Some("v2")).await?;
    assert!(report.failed > 100, "the probes failed: {report:?}");
    outcomes.candidate.behave(GOOD);
    Ok(())
}
