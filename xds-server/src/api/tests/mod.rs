//! The API over a real socket.

mod configuration;
mod fake;
mod groups;
mod metrics;
mod power;
mod report;
mod requirements;
mod resources;

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::json;

use crate::controller::CommandError;
use crate::journal::JournalError;
use fake::{Server, problem};

const START: &str = "/api/v1/services/order/releases";

#[tokio::test]
async fn invalid_requests_are_answered_with_a_problem() {
    let server = Server::start().await;
    server.post(START, json!({"version": "v2"})).await;
    let cases = [
        (Method::GET, "/api/v1/services/ordr", None, 404, "unknown-service", "order, product"),
        (Method::GET, "/api/v1/releases/order.7", None, 404, "unknown-release", "/api/v1/events"),
        (Method::GET, "/api/v1/groups/checkout", None, 404, "unknown-group", "/api/v1/events"),
        (Method::POST, "/api/v1/groups/checkout/pause", None, 404, "unknown-group", "none"),
        (Method::GET, "/api/v1/flags/beta", None, 404, "unknown-flag", "`beta`"),
        (Method::DELETE, "/api/v1/flags/beta", None, 404, "unknown-flag", "`beta`"),
        (Method::POST, "/api/v1/flags/beta/enable", None, 404, "unknown-flag", "`beta`"),
        (Method::GET, "/api/v1/nodes/envoy-7", None, 404, "unknown-node", "envoy-7"),
        (Method::GET, "/api/v1/nodes/twin", None, 409, "ambiguous-node", "demo, other"),
        (Method::GET, "/api/v1/nodes/twin?fleet=none", None, 404, "unknown-node", "twin"),
        (Method::GET, "/api/v1/nodes/twin?flet=demo", None, 400, "bad-request", "flet"),
        (Method::GET, "/api/v1/nodes/%FF", None, 400, "bad-request", ""),
        (Method::GET, "/api/v2", None, 404, "no-such-path", "/api/v1/services"),
        (
            Method::POST,
            START,
            Some(json!({"version": "v3"})),
            409,
            "release-running",
            "promote, abort",
        ),
        (
            Method::POST,
            "/api/v1/services/product/releases",
            Some(json!({"version": "blue"})),
            409,
            "already-stable",
            "`blue`",
        ),
        (
            Method::POST,
            "/api/v1/services/nope/releases",
            Some(json!({"version": "v2"})),
            404,
            "unknown-service",
            "`nope`",
        ),
        (Method::POST, START, Some(json!({"version": "a b"})), 400, "invalid", "only letters"),
        (
            Method::POST,
            START,
            Some(json!({"verzion": "v2"})),
            400,
            "bad-request",
            "unknown field `verzion`",
        ),
        (
            Method::POST,
            START,
            Some(json!({"version": "v2", "plan": {"canary": {"steps": ["120%"]}}})),
            400,
            "bad-request",
            "`120%` is over 100%",
        ),
        (
            Method::POST,
            START,
            Some(json!({"version": "v2", "actor": "a\nb"})),
            400,
            "bad-request",
            "control characters",
        ),
        (
            Method::POST,
            "/api/v1/releases/order.1/explode",
            None,
            404,
            "unknown-verb",
            "promote, pause",
        ),
        (Method::POST, "/api/v1/releases/order.9/pause", None, 404, "unknown-release", "order.9"),
        (Method::POST, "/api/v1/releases/a%20b/pause", None, 404, "unknown-release", "a b"),
        (
            Method::POST,
            "/api/v1/releases/order.1/pause",
            Some(json!({"all": true})),
            400,
            "bad-request",
            "promote only",
        ),
        (
            Method::PUT,
            "/api/v1/services/order/versions/v3",
            Some(json!({"endpoints": []})),
            400,
            "bad-request",
            "`endpoints` is empty",
        ),
        (
            Method::PUT,
            "/api/v1/services/order/versions/v3",
            Some(json!({"endpoints": ["nope"]})),
            400,
            "bad-request",
            "host:port",
        ),
        (
            Method::PUT,
            "/api/v1/services/order/versions/v3",
            Some(json!({"istio": {"subsets": "v3"}, "endpoints": ["10.0.0.1:80"]})),
            400,
            "bad-request",
            "`istio`: unknown key `subsets`",
        ),
        (
            Method::PUT,
            "/api/v1/flags",
            Some(json!({"flags": {"x": {}}})),
            400,
            "bad-flag",
            "flags.x.variants",
        ),
        (
            Method::PUT,
            "/api/v1/flags/x",
            Some(json!({"variants": {"on": "v2"}, "metadata": {"service": "nope"}})),
            400,
            "bad-flag",
            "`nope`, which is not declared",
        ),
        (Method::GET, "/api/v1/events?limit=0", None, 400, "bad-request", "from 1 to 1000"),
        (Method::GET, "/api/v1/events?after=x", None, 400, "bad-request", "after"),
        (Method::GET, "/api/v1/services/%FF", None, 400, "bad-request", ""),
    ];
    for (method, path, body, status, kind, words) in cases {
        let response = server.ask(method, path, body).await;
        let status = StatusCode::from_u16(status).unwrap();
        let detail = problem(response, status, kind).await;
        assert!(detail.contains(words), "{path}: no {words:?} in {detail:?}");
    }
}

#[tokio::test]
async fn bodies_must_be_small_json() {
    let server = Server::start().await;
    let url = format!("{}{START}", server.base);
    let post = |kind: &'static str, body: String| {
        server.http.post(&url).header("content-type", kind).body(body).send()
    };
    let json = "application/json; charset=utf-8";
    let response = post(json, "{\"version\": ".to_owned()).await.unwrap();
    let detail = problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    assert!(detail.contains("line 1 column 12"), "{detail}");
    let deep = format!("{{\"plan\": {}", "[".repeat(100_000));
    let response = post(json, deep).await.unwrap();
    problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    let response = post("text/plain", "{\"version\": \"v2\"}".to_owned()).await.unwrap();
    problem(response, StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json").await;
    let large = format!("{{\"version\": \"{}\"}}", "v".repeat(1024 * 1024));
    let response = post(json, large).await.unwrap();
    problem(response, StatusCode::PAYLOAD_TOO_LARGE, "too-large").await;
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let server = Server::start().await;
    server.post(START, json!({"version": "v2"})).await;
    let beta = json!({"variants": {"on": true}, "defaultVariant": "on"});
    server.json(Method::PUT, "/api/v1/flags/beta", Some(beta)).await;
    // As a form is sent: no body to be JSON or not.
    let ask = |method: Method, path: &str, name: &str, value: &str| {
        let request = server.http.request(method, format!("{}{path}", server.base));
        request.header(name, value).send()
    };
    let before = server.get("/api/v1/events").await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        for (method, path) in [
            (Method::POST, "/api/v1/releases/order.1/promote"),
            (Method::POST, "/api/v1/releases/order.1/rollback"),
            (Method::POST, "/api/v1/flags/beta/disable"),
            (Method::DELETE, "/api/v1/flags/beta"),
            (Method::PUT, "/api/v1/line"),
            (Method::POST, "/api/v1/nowhere"),
        ] {
            let response = ask(method, path, name, value).await.unwrap();
            let detail = problem(response, StatusCode::FORBIDDEN, "foreign-origin").await;
            assert!(detail.contains("another origin"), "{detail}");
        }
        let response = ask(Method::GET, "/api/v1/flags/beta", name, value).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{name}: {value}");
    }
    assert_eq!(server.get("/api/v1/events").await, before);

    for path in ["/api/v1/releases/order.1/promote", "/api/v1/flags/beta/disable"] {
        let response = ask(Method::POST, path, "origin", &server.base).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_those_supported() {
    let server = Server::start().await;
    let path = "/api/v1/services/order/rollback";
    let response = server.ask(Method::DELETE, path, None).await;
    assert_eq!(response.headers()["allow"], "POST");
    problem(response, StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed").await;
}

#[tokio::test]
async fn without_a_journal_nothing_is_changed() {
    let server = Server::start().await;
    for (error, kind) in [
        (CommandError::Journal(JournalError::InUse("data".into())), "journal"),
        (CommandError::Busy, "busy"),
        (CommandError::Stopped, "stopping"),
    ] {
        *server.fake.broken.lock() = Some(error);
        let body = Some(json!({"version": "v2"}));
        let response = server.ask(Method::POST, START, body).await;
        let detail = problem(response, StatusCode::SERVICE_UNAVAILABLE, kind).await;
        assert!(detail.contains("nothing was changed"), "{detail}");
    }
}

#[tokio::test]
async fn a_halted_server_is_alive_but_not_ready() {
    let server = Server::start().await;
    let get = |path| server.ask(Method::GET, path, None);
    assert_eq!(get("/livez").await.status(), StatusCode::OK);
    assert_eq!(get("/readyz").await.status(), StatusCode::OK);
    server.fake.halt("disk full");
    assert_eq!(get("/livez").await.status(), StatusCode::OK);
    let detail = problem(get("/readyz").await, StatusCode::SERVICE_UNAVAILABLE, "halted").await;
    assert!(detail.contains("disk full"), "{detail}");
}

#[tokio::test]
async fn the_server_stops_while_a_stream_is_open() {
    let server = Server::start().await;
    let mut stream = server.ask(Method::GET, "/api/v1/events/stream", None).await;
    assert!(stream.chunk().await.unwrap().is_some(), "the first record");
    server.stop.send(true).unwrap();
    while stream.chunk().await.unwrap().is_some() {}
    server.task.await.unwrap();
}
