//! Release groups, and repeated commands.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::START;
use super::fake::{Server, problem};

const GROUPS: &str = "/api/v1/groups";

fn checkout() -> Value {
    json!({
        "name": "checkout",
        "members": [{"service": "order", "version": "v2"}, {"service": "product", "version": "new"}],
        "plan": {"canary": {"steps": ["5%", "100%"]}},
        "actor": "anne",
    })
}

#[tokio::test]
async fn a_group_is_started_shown_and_rolled_back_as_one() {
    let server = Server::start().await;
    let response = server.ask(Method::POST, GROUPS, Some(checkout())).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["location"], "/api/v1/groups/checkout");
    let again = server.ask(Method::POST, GROUPS, Some(checkout())).await;
    assert_eq!(again.status(), StatusCode::OK);

    let shown = server.get("/api/v1/groups/checkout").await;
    let members: Vec<_> = shown["members"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(members, ["order.1", "product.1"]);
    assert_eq!(server.get(GROUPS).await[0], shown);
    let release = server.get("/api/v1/releases/product.1").await;
    assert_eq!(release["group"], "checkout");
    let detail = server.get("/api/v1/releases/product.1/explain").await.to_string();
    assert!(detail.contains("with order.1") && detail.contains("group_started"), "{detail}");

    let alone = server.ask(Method::POST, "/api/v1/releases/order.1/pause", None).await;
    let detail = problem(alone, StatusCode::CONFLICT, "wrong-phase").await;
    assert!(detail.contains("tidegate release group pause checkout"), "{detail}");
    let outcome = server.post("/api/v1/groups/checkout/rollback", json!({"actor": "bob"})).await;
    assert_eq!(outcome["changed"], true);
    let release = server.get("/api/v1/releases/product.1").await;
    assert_eq!(release["phase"], "rolled_back");
}

#[tokio::test]
async fn an_invalid_group_is_rejected_with_the_member_at_fault() {
    let server = Server::start().await;
    let mut other = checkout();
    other["members"][1]["version"] = json!("blue");
    let response = server.ask(Method::POST, GROUPS, Some(other)).await;
    let detail = problem(response, StatusCode::CONFLICT, "already-stable").await;
    assert!(detail.contains("`product`"), "{detail}");
    let mut many = checkout();
    many["members"] = json!(vec![json!({"service": "order", "version": "v2"}); 21]);
    let response = server.ask(Method::POST, GROUPS, Some(many)).await;
    problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    server.post(GROUPS, checkout()).await;
    let mut other = checkout();
    other["members"][1]["version"] = json!("newer");
    let response = server.ask(Method::POST, GROUPS, Some(other)).await;
    problem(response, StatusCode::CONFLICT, "group-running").await;
}

#[tokio::test]
async fn a_repeated_start_changes_nothing() {
    let server = Server::start().await;
    let start = || Some(json!({"version": "v2"}));
    let first = server.ask(Method::POST, START, start()).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let again = server.ask(Method::POST, START, start()).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(again.headers()["location"], "/api/v1/releases/order.1");
    let outcome: Value = again.json().await.unwrap();
    assert_eq!(outcome["changed"], false);
}

#[tokio::test]
async fn a_repeated_promotion_from_a_step_enters_one_step() {
    let server = Server::start().await;
    let plan = json!({"canary": {"steps": ["5%", "50%", "100%"]}});
    server.post(START, json!({"version": "v2", "plan": plan})).await;
    let promote = "/api/v1/releases/order.1/promote";
    for changed in [true, false] {
        assert_eq!(server.post(promote, json!({"from_step": 0})).await["changed"], changed);
        let release = server.get("/api/v1/releases/order.1").await;
        assert_eq!(release["step"], 1);
    }
    let ahead = server.ask(Method::POST, promote, Some(json!({"from_step": 2}))).await;
    problem(ahead, StatusCode::CONFLICT, "wrong-phase").await;
    let both = json!({"from_step": 1, "all": true});
    let response = server.ask(Method::POST, promote, Some(both)).await;
    problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
}

#[tokio::test]
async fn the_rollback_of_a_service_names_its_release_and_can_be_repeated() {
    let server = Server::start().await;
    let path = "/api/v1/services/order/rollback";
    let response = server.ask(Method::POST, path, None).await;
    problem(response, StatusCode::CONFLICT, "no-release").await;
    server.post(START, json!({"version": "v2"})).await;
    for (id, status, kind) in [
        ("order.7", StatusCode::NOT_FOUND, "unknown-release"),
        ("product.1", StatusCode::BAD_REQUEST, "bad-request"),
    ] {
        let response = server.ask(Method::POST, path, Some(json!({"release": id}))).await;
        problem(response, status, kind).await;
    }
    for changed in [true, false] {
        let outcome = server.post(path, json!({"release": "order.1"})).await;
        assert_eq!(
            (&outcome["release"], &outcome["changed"]),
            (&json!("order.1"), &json!(changed))
        );
    }
    assert_eq!(server.json(Method::POST, path, None).await["changed"], false);
}
