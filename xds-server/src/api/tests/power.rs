//! The preview of a release, and the power of its current step.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::units::Ppm;

use super::START;
use super::fake::{Server, problem};

const PREVIEW: &str = "/api/v1/services/order/releases?preview=true";

#[tokio::test]
async fn a_preview_starts_nothing_and_names_what_a_step_cannot_show() {
    let server = Server::start().await;
    let plan = json!({"canary": {"steps": [{"weight": "1%", "time": "10s"}, "5%", "100%"]}});
    let preview = server.post(PREVIEW, json!({"version": "v2", "plan": plan})).await;
    assert_eq!(preview["stable"], "v1");
    assert_eq!(preview["requests_per_second"], 25.0);
    assert_eq!(preview["error_rate_percent"], 2.0);
    let steps = preview["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0]["weight_percent"]), (3, &json!(1.0)));
    assert!(steps[0]["blind"].is_object(), "{preview:#}");
    let everything = &steps[0]["detections"][0];
    assert_eq!(everything["regression"], json!({"error_rate_percent": 100.0}), "{preview:#}");
    let text = preview["text"][1].as_str().unwrap();
    assert!(text.contains("shows nothing at this traffic"), "{text}");
    assert!(server.get("/api/v1/services/order").await["release"].is_null());
}

#[tokio::test]
async fn a_preview_is_refused_like_the_release() {
    let server = Server::start().await;
    let unknown = Some(json!({"version": "v9"}));
    let response = server.ask(Method::POST, PREVIEW, unknown).await;
    problem(response, StatusCode::NOT_FOUND, "unknown-version").await;
    let other = "/api/v1/services/product/releases?preview=true";
    let response = server.ask(Method::POST, other, Some(json!({"version": "green"}))).await;
    let detail = problem(response, StatusCode::CONFLICT, "no-traffic").await;
    assert!(detail.contains("no requests in the last half minute"), "{detail}");
    let mistaken = format!("{START}?dry_run=true");
    let response = server.ask(Method::POST, &mistaken, Some(json!({"version": "v2"}))).await;
    problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
}

#[tokio::test]
async fn a_running_release_shows_the_power_of_its_step() {
    let server = Server::start().await;
    server.post(START, json!({"version": "v2"})).await;
    let id = "order.1".parse().unwrap();
    let weight = Ppm::percent(5);
    let entered = Event::StepEntered { id, step: 0, holdback: Ppm::ZERO, weight, evidence: None };
    server.fake.append("controller", None, entered);
    let release = server.get("/api/v1/releases/order.1").await;
    assert_eq!(release["power"]["weight_percent"], 5.0);
    let service = server.get("/api/v1/services/order").await;
    assert_eq!(service["release"]["power"], release["power"]);
    let explanation = server.get("/api/v1/releases/order.1/explain").await;
    let lines = explanation["text"].as_array().unwrap();
    assert!(lines.iter().any(|it| it.as_str().unwrap().starts_with("At today's traffic, 5% for")));
}
