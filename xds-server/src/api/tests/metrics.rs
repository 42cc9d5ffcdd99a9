//! `/metrics`.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::json;

use super::START;
use super::fake::Server;

#[tokio::test]
async fn metrics_are_those_of_the_state() {
    let server = Server::start().await;
    server.post(START, json!({"version": "v2"})).await;
    server.post("/api/v1/releases/order.1/promote", json!({})).await;
    server.fake.observe("order.1");
    let scrape = async || {
        let response = server.ask(Method::GET, "/metrics", None).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.unwrap()
    };
    let text = scrape().await;
    for line in [
        r#"tidegate_weight_ratio{service="order",version="v2"} 0.05"#,
        r#"tidegate_actual_weight_ratio{service="order",version="v2"} 0.12"#,
        r#"tidegate_requests_total{service="order",version="v1"} 7"#,
        r#"tidegate_errors_total{service="order",version="v1"} 1"#,
        r#"tidegate_releases_total{service="order"} 1"#,
        r#"tidegate_releases_by_phase{phase="stepping"} 1"#,
        r#"tidegate_releases_by_phase{phase="rolled_back"} 0"#,
        r#"tidegate_sidecars_connected{fleet="demo"} 1"#,
        r#"tidegate_sidecars_synced{fleet="demo"} 0"#,
        r#"tidegate_sidecars_nacked{fleet="demo"} 1"#,
        r#"tidegate_response_seconds_count{service="order",version="v1"} 0"#,
        r#"tidegate_verdict{service="order",verdict="healthy"} 1"#,
        "tidegate_journal_seq 3",
        "tidegate_halted 0",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in {text}");
    }
    let help = "# HELP tidegate_requests_total Finished requests, including failed ones";
    assert!(text.lines().any(|it| it == help), "{text}");

    server.post("/api/v1/releases/order.1/rollback", json!({})).await;
    for _ in 0..2 {
        let text = scrape().await;
        let line = r#"tidegate_rollbacks_total{service="order",cause="operator"} 1"#;
        assert!(text.lines().any(|it| it == line), "counted once: {text}");
    }
}

#[tokio::test]
async fn a_client_gets_the_format_that_it_accepts() {
    let server = Server::start().await;
    let scrape = async |accept: &str| {
        let url = format!("{}/metrics", server.base);
        let response = server.http.get(url).header("accept", accept).send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, response.text().await.unwrap())
    };
    let (kind, text) =
        scrape("application/openmetrics-text; version=1.0.0, text/plain; q=0.5").await;
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(
        text.ends_with("# EOF\n") && text.contains("# TYPE tidegate_requests counter"),
        "{text}"
    );
    let (kind, text) = scrape("*/*").await;
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(
        !text.contains("# EOF") && text.contains("# TYPE tidegate_requests_total counter"),
        "{text}"
    );
}

/// The first scrape after a start is complete, however long the journal: otherwise a counter would seem to be reset
/// and to count old rollbacks again.
#[tokio::test]
async fn the_first_scrape_counts_the_rollbacks_of_a_long_journal() {
    let server = Server::start().await;
    server.fake.append_history(12_000);
    server.post(START, json!({"version": "v2"})).await;
    server.post("/api/v1/releases/order.1/rollback", json!({})).await;
    let text = server.ask(Method::GET, "/metrics", None).await.text().await.unwrap();
    let line = r#"tidegate_rollbacks_total{service="order",cause="operator"} 1"#;
    assert!(text.lines().any(|it| it == line), "{text}");
}
