//! Checks, approvals, signals, freezes and explanations.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::START;
use super::fake::{CONFIG, Server, problem};

const SIGNALS: &str = "/api/v1/services/order/signals";

fn plan() -> Value {
    let gate = json!({"weight": "5%", "approval": {"count": 1, "role": "manager"}});
    json!({"canary": {"steps": [gate, "100%"]}})
}

/// `order` requires two checks.
async fn require_checks(server: &Server) {
    let text =
        CONFIG.replacen("stable: v1", "requirements: {checks: [tests, scan]}\n    stable: v1", 1);
    let request = server.http.put(format!("{}/api/v1/config", server.base));
    let request = request.header("content-type", "application/yaml").body(text);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn results_are_accepted_for_required_checks_and_approvals_from_others() {
    let server = Server::start().await;
    let check = json!({"name": "tests", "passed": true, "url": "https://ci/1", "actor": "ci"});
    let path = "/api/v1/services/order/versions/v2/checks";
    let response = server.ask(Method::POST, path, Some(check.clone())).await;
    problem(response, StatusCode::NOT_FOUND, "unknown-check").await;
    require_checks(&server).await;
    let start = json!({"version": "v2", "plan": plan(), "actor": "anne"});
    server.post(START, start).await;
    assert_eq!(server.post(path, check.clone()).await["changed"], true);
    let unknown = "/api/v1/services/order/versions/v7/checks";
    let response = server.ask(Method::POST, unknown, Some(check)).await;
    problem(response, StatusCode::NOT_FOUND, "unknown-version").await;
    let failed = json!({"name": "scan", "passed": false, "reason": "CVE-1"});
    let outcome = server.post("/api/v1/releases/order.1/checks", failed).await;
    assert_eq!(outcome["release"], "order.1");

    let approve = "/api/v1/releases/order.1/approve";
    let own = json!({"role": "manager", "actor": "anne"});
    let response = server.ask(Method::POST, approve, Some(own)).await;
    let detail = problem(response, StatusCode::CONFLICT, "wrong-phase").await;
    assert!(detail.contains("anne started it"), "{detail}");
    let response = server.ask(Method::POST, approve, Some(json!({"actor": "bob"}))).await;
    problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    server.post(approve, json!({"role": "manager", "actor": "bob"})).await;

    let release = server.get("/api/v1/releases/order.1").await;
    assert_eq!(release["started_by"], "anne");
    assert_eq!(release["approvals"][0]["by"], "bob");
    assert_eq!(release["checks"]["tests"]["url"], "https://ci/1");
    assert_eq!(release["checks"]["scan"]["passed"], false);
}

#[tokio::test]
async fn a_security_signal_rolls_back_and_quarantines_until_an_operator_lifts_it() {
    let server = Server::start().await;
    server.post(START, json!({"version": "v2"})).await;
    let bad = json!({
        "kind": "security", "version": "v2", "name": "cve", "status": "bad", "reason": "CVE-1",
    });
    assert_eq!(server.post(SIGNALS, bad).await["release"], "order.1");
    let service = server.get("/api/v1/services/order").await;
    assert_eq!(service["quarantined"]["v2"]["reason"], "CVE-1");
    assert_eq!(service["release"]["cause"]["kind"], "security");
    let response = server.ask(Method::POST, START, Some(json!({"version": "v2"}))).await;
    problem(response, StatusCode::CONFLICT, "quarantined").await;
    let path = "/api/v1/services/order/versions/v2/quarantine";
    let lifted = server.json(Method::DELETE, path, None).await;
    assert_eq!(lifted["changed"], true);
    server.post(START, json!({"version": "v2"})).await;
}

#[tokio::test]
async fn business_signals_are_active_until_cleared() {
    let server = Server::start().await;
    server.post(START, json!({"version": "v2"})).await;
    let say = |status: &str| json!({"kind": "business", "version": "v2", "name": "orders", "status": status});
    server.post(SIGNALS, say("bad")).await;
    let release = server.get("/api/v1/releases/order.1").await;
    assert_eq!(release["signals"][0]["signal"], "orders");
    server.post(SIGNALS, say("ok")).await;
    let release = server.get("/api/v1/releases/order.1").await;
    assert_eq!(release["signals"], json!([]));
    let response = server.ask(Method::POST, SIGNALS, Some(say("meh"))).await;
    problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
}

#[tokio::test]
async fn deployments_are_frozen_and_unfrozen() {
    let server = Server::start().await;
    let freeze = "/api/v1/freeze";
    let stop = json!({"service": "order", "actor": "bob", "reason": "incident 7"});
    server.json(Method::PUT, freeze, Some(stop)).await;
    server.json(Method::PUT, freeze, None).await;
    let shown = server.get(freeze).await;
    assert_eq!(shown["services"]["order"]["reason"], "incident 7");
    assert_eq!(shown["active"]["order"].as_array().unwrap().len(), 2);
    assert_eq!(shown["active"]["product"].as_array().unwrap().len(), 1);
    server.json(Method::DELETE, freeze, None).await;
    let shown = server.get(freeze).await;
    assert_eq!(shown["all"], Value::Null);
    assert!(shown["active"].get("product").is_none());
    let unknown = Some(json!({"service": "ordr"}));
    let response = server.ask(Method::PUT, freeze, unknown).await;
    problem(response, StatusCode::NOT_FOUND, "unknown-service").await;
}

#[tokio::test]
async fn the_explanation_of_a_release_is_a_function_of_the_state() {
    let server = Server::start().await;
    let path = "/api/v1/releases/order.1/explain";
    let response = server.ask(Method::GET, path, None).await;
    problem(response, StatusCode::NOT_FOUND, "unknown-release").await;
    server.post(START, json!({"version": "v2", "actor": "anne"})).await;
    let promote = json!({"actor": "anne", "reason": "urgent"});
    server.post("/api/v1/releases/order.1/promote", promote).await;
    server.fake.observe("order.1");
    let explanation = server.get(path).await;
    assert_eq!(explanation, server.get(path).await);
    assert_eq!(explanation["phase"], "stepping");
    assert_eq!(explanation["blockers"][0]["kind"], "no_sidecars");
    assert_eq!(explanation["sidecars"]["nacked"], json!(["envoy-1"]));
    let text = explanation["text"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    let text = text.collect::<Vec<_>>().join("\n");
    for words in [
        "Release order.1 moves order from v1, its stable version, to v2. anne started it at 1970-01-01T00:00:02Z.",
        "It is on step 1 of 2 since 1970-01-01T00:00:03Z: v2 receives 5% of the requests.",
        "and v2 has served 50 requests",
        "Next: v2 receives all requests but 1% (below 1000 requests per second 5%), which stay on stable for comparison, and \
         is watched for 30m.",
        "In this step v2 failed 0 of 120 requests and v1 failed 0 of 880 requests; verdict: healthy",
        "v2 is rolled back by itself if it fails more than 5% of its requests, or more often than v1",
        "To go on it waits for:\n- sidecars: none is connected, so none has acknowledged it -> tidegate nodes",
        "Connected sidecars: 1. Configuration 3, of journal record 3, is rejected (NACK) by envoy-1.",
        "What happened:\n",
        "- 1970-01-01T00:00:03Z step entered, by anne: urgent (record 3)",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    server.post("/api/v1/releases/order.1/rollback", json!({})).await;
    let explanation = server.get(path).await;
    let state = explanation["text"][1].as_str().unwrap();
    let expected = "It was rolled back at 1970-01-01T00:00:04Z: by an operator. All requests go to v1 since then.";
    assert_eq!(state, expected);
    let text = explanation["text"].to_string();
    assert!(
        text.contains("VERSION starts another release") && !text.contains("waits for"),
        "{text}"
    );
}
