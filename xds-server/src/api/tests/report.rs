//! Delivery figures, the digest of the state, and the health of the journal.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::json;

use super::fake::{Server, problem};
use crate::journal;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::state::State;
use tidegate_delivery::units::Ppm;

/// A release with a commit that received traffic and was rolled back.
async fn failed(server: &Server) {
    let commit =
        json!({"version": "v2", "commit": "6c6eb22", "committed_at": "1970-01-01T00:00:01Z"});
    server.post("/api/v1/services/order/releases", commit).await;
    let weight = Ppm::percent(5);
    let id = "order.1".parse().unwrap();
    let entered = Event::StepEntered { id, step: 0, weight, holdback: Ppm::ZERO, evidence: None };
    server.fake.append("controller", None, entered);
    server.post("/api/v1/releases/order.1/rollback", json!({})).await;
}

#[tokio::test]
async fn a_failed_deployment_is_reported_and_scraped() {
    let server = Server::start().await;
    failed(&server).await;
    let events = server.get("/api/v1/events?after=1&limit=1").await;
    assert_eq!(events[0]["event"]["commit"], json!({"id": "6c6eb22", "at": 1000}));

    let report = server.get("/api/v1/report?since=1970-01-01T00:00:00Z&bucket=day").await;
    let all = &report["services"][0]["all"];
    assert_eq!(report["services"][0]["service"], "order");
    assert_eq!((&all["deployments"], &all["failures"]), (&json!(1), &json!(1)));
    assert_eq!(all["change_failure_percent"], 100.0);
    assert_eq!(all["recovery_time"], json!({"count": 1, "median_ms": 1000, "mean_ms": 1000}));
    assert_eq!(all["meets"]["recovery_time"], true);
    assert_eq!(all["meets"]["change_failure_rate"], false);
    assert_eq!(report["services"][0]["over_time"][0]["from"], "1970-01-01T00:00:00.000Z");
    let other = server.get("/api/v1/report?since=1970-01-01T00:00:00Z&service=product").await;
    assert_eq!(other["services"], json!([]));
    let unknown = server.ask(Method::GET, "/api/v1/report?service=ordr", None).await;
    problem(unknown, StatusCode::NOT_FOUND, "unknown-service").await;

    let metrics = server.ask(Method::GET, "/metrics", None).await.text().await.unwrap();
    let line = r#"tidegate_deployments_per_day{service="order"} 0.0"#;
    assert!(metrics.contains(line), "it is long ago: {metrics}");
}

#[tokio::test]
async fn malformed_queries_are_rejected() {
    let server = Server::start().await;
    for query in [
        "since=1970-01-02T00:00:00Z&until=1970-01-01T00:00:00Z",
        "since=5",
        "since=x",
        "bucket=year",
        "sinc=0",
        "service=a/b",
    ] {
        let answer = server.ask(Method::GET, &format!("/api/v1/report?{query}"), None).await;
        problem(answer, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    let body = json!({"version": "v2", "commit": "the last one"});
    let answer = server.ask(Method::POST, "/api/v1/services/order/releases", Some(body)).await;
    assert!(!answer.status().is_success());
}

#[tokio::test]
async fn the_state_is_named_by_its_digest() {
    let server = Server::start().await;
    failed(&server).await;
    let mut state = State::default();
    let records: Vec<journal::Record> =
        serde_json::from_value(server.get("/api/v1/events").await).unwrap();
    for record in &records {
        state.apply(record.at, record.event.event()).unwrap();
    }
    let digest = journal::digest(&state).unwrap().to_string();
    assert_eq!(server.get("/api/v1/state").await, json!({"seq": 4, "digest": digest}));
}

#[tokio::test]
async fn damage_of_the_journal_fails_the_probe() {
    let server = Server::start().await;
    *server.fake.damage.lock() = Some("record 7 was changed".to_owned());
    let answer = server.ask(Method::GET, "/readyz", None).await;
    let detail = problem(answer, StatusCode::SERVICE_UNAVAILABLE, "journal-damaged").await;
    assert!(
        detail.contains("record 7 was changed") && detail.contains("Decisions continue"),
        "{detail}"
    );
}
