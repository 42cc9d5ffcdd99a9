//! `/config`.

use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use super::fake::{CONFIG, Server, problem};
use crate::config;
use crate::reload::ReloadFailure;
use tidegate_delivery::units::Timestamp;

const PATH: &str = "/api/v1/config";

async fn put(server: &Server, query: &str, kind: &str, text: &str) -> Response {
    let request = server.http.put(format!("{}{PATH}{query}", server.base));
    request.header("content-type", kind).body(text.to_owned()).send().await.unwrap()
}

#[tokio::test]
async fn a_configuration_is_tried_sent_and_shown() {
    let server = Server::start().await;
    server.fake.declare_fleets();
    let text = CONFIG.replace("order.local", "orders.local");
    let hosts = async || server.get("/api/v1/services/order").await["hosts"].clone();
    let file = json!({"path": "tidegate.yaml", "error": null});
    assert_eq!(server.get(PATH).await, json!({"applied": null, "file": file}));

    let tried = put(&server, "?dry_run=true", "application/yaml", &text).await;
    assert_eq!(tried.status(), StatusCode::OK);
    assert_eq!(hosts().await, json!(["order.local"]));

    let tried: serde_json::Value = tried.json().await.unwrap();
    assert_eq!(tried["refused"], json!(["host:order.local"]));
    let [removed, added] = [0, 1].map(|number| tried["changes"][number].clone());
    assert_eq!(
        (&removed["kind"], &removed["host"], &removed["loss"], &removed["place"]["line"]),
        (&json!("host_removed"), &json!("order.local"), &json!("host:order.local"), &json!(6))
    );
    assert_eq!((&added["kind"], &added["loss"]), (&json!("host_added"), &json!(null)));
    let refused = put(&server, "", "application/yaml", &text).await;
    problem(refused, StatusCode::CONFLICT, "takes-away").await;
    assert_eq!(hosts().await, json!(["order.local"]));

    let query = "?allow=host:order.local&actor=anne&reason=new%20name";
    let sent = put(&server, query, "text/yaml; charset=utf-8", &text);
    let sent: serde_json::Value = sent.await.json().await.unwrap();
    assert_eq!(sent["changed"], true, "{sent}");
    assert_eq!(hosts().await, json!(["orders.local"]));
    let shown = server.get(PATH).await;
    let version = json!({"hash": config::hash(&text), "source": "api"});
    assert_eq!(shown["applied"]["version"], version);
    assert_eq!(shown["applied"]["withheld"], json!([]));
    let events = server.get("/api/v1/events?after=1").await;
    assert!(events.to_string().contains("configuration_applied"), "{events}");

    // JSON is YAML.
    let json = put(&server, "", "application/json", r#"{"services": []}"#).await;
    problem(json, StatusCode::BAD_REQUEST, "invalid-configuration").await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_a_problem_that_says_where() {
    let server = Server::start().await;
    let bad = CONFIG.replace("[5%, 100%]", "[500%, 100%]");
    let detail = put(&server, "", "application/yaml", &bad).await;
    let detail = problem(detail, StatusCode::BAD_REQUEST, "invalid-configuration").await;
    assert!(detail.contains("7:") && detail.contains("`500%`"), "{detail}");

    let detail = put(&server, "", "text/plain", CONFIG).await;
    problem(detail, StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-yaml").await;
    let detail = put(&server, "?dryrun=true", "application/yaml", CONFIG).await;
    problem(detail, StatusCode::BAD_REQUEST, "bad-request").await;
    let long = format!("{CONFIG}#{}", " ".repeat(1024 * 1024));
    let detail = put(&server, "", "application/yaml", &long).await;
    problem(detail, StatusCode::PAYLOAD_TOO_LARGE, "too-large").await;

    let detail = put(&server, "?allow=order", "application/yaml", CONFIG).await;
    let detail = problem(detail, StatusCode::BAD_REQUEST, "bad-request").await;
    assert!(detail.contains("version:SERVICE/VERSION"), "{detail}");
}

#[tokio::test]
async fn what_a_release_withholds_is_shown_and_the_rest_is_applied() {
    let server = Server::start().await;
    let start = json!({"version": "v2"});
    server.ask(Method::POST, "/api/v1/services/order/releases", Some(start)).await;
    let text = CONFIG
        .replace(r#", {name: v2, endpoints: ["[::1]:9102"]}"#, "")
        .replace("\"product.local\"", "\"product.local\", \"shop.local\"");
    assert_ne!(text.len(), CONFIG.len());
    for query in ["?dry_run=true", ""] {
        let outcome = put(&server, query, "application/yaml", &text).await;
        let outcome: serde_json::Value = outcome.json().await.unwrap();
        let message = outcome["message"].as_str().unwrap();
        assert!(message.contains("`order.1`") && message.contains("`v2`"), "{message}");
    }
    let withheld = server.get(PATH).await["applied"]["withheld"].clone();
    assert_eq!(withheld[0]["service"], "order");
    let product = server.get("/api/v1/services/product").await;
    assert_eq!(product["hosts"], json!(["product.local", "shop.local"]));
}

#[tokio::test]
async fn a_version_in_use_is_removed_by_name_only() {
    let server = Server::start().await;
    server.fake.declare_fleets();
    let text = CONFIG
        .replace(r#"{name: v1, endpoints: ["127.0.0.1:9101"]}, "#, "")
        .replace("stable: v1\n    versions", "stable: v2\n    versions");
    let other = "allow=version:product/blue";
    let detail = put(&server, &format!("?{other}"), "application/yaml", &text).await;
    let detail = problem(detail, StatusCode::CONFLICT, "takes-away").await;
    assert!(detail.contains("--allow version:order/v1"), "{detail}");
    let both = format!("?{other}&allow=version:order/v1");
    let allowed = put(&server, &both, "application/yaml", &text).await;
    assert_eq!(allowed.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_bad_file_is_shown_and_the_server_stays_ready() {
    let server = Server::start().await;
    let text = CONFIG.replace("[5%, 100%]", "[500%, 100%]");
    let problems = config::check(&text, std::path::Path::new("")).unwrap_err();
    let message = "it is wrong".to_owned();
    let failure = ReloadFailure { since: Timestamp(7), message, problems, losses: Vec::new() };
    server.fake.file.lock().failure = Some(failure);
    let shown = server.get(PATH).await["file"]["error"].clone();
    assert_eq!(
        (&shown["message"], &shown["since"]),
        (&json!("it is wrong"), &json!("1970-01-01T00:00:00.007Z"))
    );
    assert_eq!(shown["problems"][0]["line"], 7);
    assert_eq!(server.ask(Method::GET, "/readyz", None).await.status(), StatusCode::OK);
}
