//! Services, versions, releases, flags, nodes and events.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::START;
use super::fake::{Server, problem};

#[tokio::test]
async fn a_service_has_versions_weights_and_a_release() {
    let server = Server::start().await;
    let names = server.get("/api/v1/services").await;
    let names: Vec<&str> =
        names.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["order", "product"]);

    let started =
        server.post(START, json!({"version": "v2", "actor": "anne", "reason": "why not"})).await;
    assert_eq!(started["release"], "order.1");
    assert_eq!(started["changed"], true);
    server.post("/api/v1/releases/order.1/promote", json!({})).await;
    server.fake.observe("order.1");

    let order = server.get("/api/v1/services/order").await;
    assert_eq!(order["strategy"], "canary");
    assert_eq!(order["stable"], "v1");
    let version = |name: &str| {
        let versions = order["versions"].as_array().unwrap();
        versions.iter().find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(version("v1")["weight_percent"], 95.0);
    assert_eq!(version("v1")["totals"]["errors"], 1);
    assert_eq!(
        version("v1")["recent"],
        json!({
            "window_ms": 28_000, "requests": 700, "requests_per_second": 25.0, "error_rate_percent": 2.0,
            "p50_ms": 12.3, "p99_ms": 84.0,
        })
    );
    assert_eq!(version("v2")["recent"]["error_rate_percent"], json!(null));
    assert_eq!(version("v2")["weight_percent"], 5.0);
    assert_eq!(version("v2")["endpoints"], json!(["[::1]:9102"]));

    let release = server.get("/api/v1/releases/order.1").await;
    assert_eq!(release, order["release"]);
    for (member, value) in [
        ("phase", json!("stepping")),
        ("step", json!(1)),
        ("steps", json!(2)),
        ("weight_percent", json!(5.0)),
        ("actual_percent", json!(12.0)),
        ("started_at", json!("1970-01-01T00:00:02.000Z")),
        ("paused", json!(false)),
    ] {
        assert_eq!(release[member], value, "{member}");
    }
    let progress = &release["progress"];
    assert_eq!(progress["verdict"]["verdict"], "healthy");
    let convergence = json!({
        "acked": 1, "connected": 2, "nacked": 0, "nacks": [], "pending": 1, "silent": 0, "silent_nodes": [],
        "pending_nodes": ["envoy-2"], "p50_ms": 40, "p99_ms": 84
    });
    assert_eq!(progress["convergence"], convergence);
    assert_eq!(progress["blockers"][0]["kind"], "no_sidecars");
    assert_eq!(progress["time_left_ms"], 1500);
}

#[tokio::test]
async fn a_release_is_started_paused_and_aborted() {
    let server = Server::start().await;
    let plan = json!({"canary": {"steps": ["1%", "50%", "100%"], "step_time": "10m"}});
    let body = json!({"version": "v2", "plan": plan});
    let response = server.ask(Method::POST, START, Some(body)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["location"], "/api/v1/releases/order.1");
    let release = server.get("/api/v1/releases/order.1").await;
    assert_eq!(
        release["plan"]["steps"][0],
        json!({"weight_percent": 1.0, "time_ms": 600_000, "min_requests": 50, "approval": null})
    );

    // The body may be left out, with or without a content type.
    let paused = server.json(Method::POST, "/api/v1/releases/order.1/pause", None).await;
    assert_eq!(paused["changed"], true);
    let again = server.post("/api/v1/releases/order.1/pause", json!({})).await;
    assert_eq!(again["changed"], false);
    let back = server.post("/api/v1/releases/order.1/abort", json!({"reason": "enough"})).await;
    assert_eq!(back["changed"], true);
    let release = server.get("/api/v1/releases/order.1").await;
    assert_eq!(release["phase"], "rolled_back");
    assert_eq!(release["cause"]["kind"], "operator");
}

#[tokio::test]
async fn a_version_can_be_deployed() {
    let server = Server::start().await;
    let body = json!({"endpoints": ["10.0.0.1:80", "order-c.internal:80"], "actor": "ci"});
    let outcome = server.json(Method::PUT, "/api/v1/services/order/versions/v3", Some(body)).await;
    let expected = json!({
        "release": null, "changed": true, "effect": "version_registered", "service": "order", "version": "v3",
        "message": "version `v3` of `order` is registered",
    });
    assert_eq!(outcome, expected);
    let order = server.get("/api/v1/services/order").await;
    let added = order["versions"].as_array().unwrap().iter().find(|it| it["name"] == "v3");
    let added = added.unwrap();
    assert_eq!(added["endpoints"], json!(["10.0.0.1:80", "order-c.internal:80"]));
    assert_eq!(added["unresolved"], json!(["order-c.internal"]));
}

/// The service is not in Istio: its target would have no effect.
#[tokio::test]
async fn a_target_in_istio_needs_a_service_there() {
    let server = Server::start().await;
    let body = json!({"endpoints": ["10.0.0.1:80"], "istio": {"subset": "v3"}});
    let path = "/api/v1/services/order/versions/v3";
    let response = server.ask(Method::PUT, path, Some(body)).await;
    let detail = problem(response, StatusCode::BAD_REQUEST, "invalid").await;
    assert!(detail.contains("exactly if its service has `istio`"), "{detail}");
}

#[tokio::test]
async fn flags_are_set_switched_and_evaluated() {
    let server = Server::start().await;
    let beta = json!({
        "state": "ENABLED", "variants": {"on": "v2", "off": ""}, "defaultVariant": "off",
        "targeting": {"if": [{"==": [{"var": "country"}, "de"]}, "on", "off"]},
        "metadata": {"service": "order"},
    });
    let document = json!({"flags": {"beta": beta}});
    server.json(Method::PUT, "/api/v1/flags?actor=anne&reason=try", Some(document.clone())).await;
    assert_eq!(server.get("/api/v1/flags").await, document);
    assert_eq!(server.get("/api/v1/flags/beta").await, beta);

    let ask = async |country: &str| {
        let question = json!({"context": {"targetingKey": "u1", "country": country}});
        server.post("/api/v1/flags/beta/evaluate", question).await
    };
    let answer = ask("de").await;
    assert_eq!((&answer["value"], &answer["reason"]), (&json!("v2"), &json!("TARGETING_MATCH")));
    assert_eq!(ask("fr").await["variant"], "off");

    server.json(Method::POST, "/api/v1/flags/beta/disable", None).await;
    assert_eq!(server.get("/api/v1/flags/beta").await["state"], "DISABLED");
    assert_eq!(ask("de").await["reason"], "DISABLED");
    server.json(Method::POST, "/api/v1/flags/beta/enable?actor=bob", None).await;
    assert_eq!(ask("de").await["value"], "v2");

    let plain = json!({"variants": {"on": true}, "defaultVariant": "on"});
    server.json(Method::PUT, "/api/v1/flags/plain", Some(plain)).await;
    server.json(Method::DELETE, "/api/v1/flags/beta", None).await;
    let left = server.get("/api/v1/flags").await;
    let left: Vec<&String> = left["flags"].as_object().unwrap().keys().collect();
    assert_eq!(left, ["plain"]);

    let events = server.get("/api/v1/events?after=1&limit=2").await;
    assert_eq!(events[0]["actor"], "anne");
    assert_eq!(events[0]["reason"], "try");
    assert_eq!(events.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn flags_are_merged_all_or_none() {
    let server = Server::start().await;
    let plain = json!({"variants": {"on": true}, "defaultVariant": "on"});
    let broken = json!({"variants": {}, "defaultVariant": 7});
    let lost = json!({
        "variants": {"on": "v9", "off": ""}, "defaultVariant": "off", "metadata": {"service": "order"},
    });
    for bad in [broken, lost] {
        let document = json!({"flags": {"a": plain, "b": bad, "c": plain}});
        let response = server.ask(Method::PATCH, "/api/v1/flags", Some(document)).await;
        problem(response, StatusCode::BAD_REQUEST, "bad-flag").await;
        assert_eq!(server.get("/api/v1/flags").await, json!({"flags": {}}));
    }
    let merge = |flags| server.json(Method::PATCH, "/api/v1/flags", Some(json!({"flags": flags})));
    merge(json!({"a": plain})).await;
    merge(json!({"b": plain, "c": plain})).await;
    let flags = server.get("/api/v1/flags").await;
    let keys: Vec<_> = flags["flags"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_flag_must_route_to_a_version_of_its_service() {
    let server = Server::start().await;
    let flag = |version: Value| {
        json!({
            "variants": {"on": version, "off": "", "none": null}, "defaultVariant": "off",
            "metadata": {"service": "order"},
        })
    };
    let path = "/api/v1/flags/beta";
    for version in [json!("v9"), json!(true)] {
        let response = server.ask(Method::PUT, path, Some(flag(version))).await;
        let detail = problem(response, StatusCode::BAD_REQUEST, "bad-flag").await;
        assert!(detail.contains("v1, v2"), "{detail}");
    }
    server.json(Method::PUT, path, Some(flag(json!("v2")))).await;
}

#[tokio::test]
async fn flags_have_a_revision_and_a_stale_change_is_rejected() {
    let server = Server::start().await;
    let plain = json!({"variants": {"on": true}, "defaultVariant": "on"});
    let change = async |method: Method, path: &str, tag: &str| {
        let url = format!("{}/api/v1/flags{path}", server.base);
        let body = if path.is_empty() { json!({"flags": {"a": plain}}) } else { plain.clone() };
        let request = server.http.request(method, url).header("if-match", tag);
        request.json(&body).send().await.unwrap()
    };
    let tag = async |path: &str| {
        let response = server.ask(Method::GET, path, None).await;
        response.headers()["etag"].to_str().unwrap().to_owned()
    };
    assert_eq!(tag("/api/v1/flags").await, r#""0""#);
    let set = change(Method::PUT, "/a", r#""0""#).await;
    assert_eq!(set.status(), StatusCode::OK);
    assert_eq!(tag("/api/v1/flags").await, r#""1""#);
    assert_eq!(tag("/api/v1/flags/a").await, r#""1""#);
    for (method, path) in [
        (Method::PUT, ""),
        (Method::PATCH, ""),
        (Method::PUT, "/a"),
        (Method::DELETE, "/a"),
        (Method::POST, "/a/disable"),
        (Method::POST, "/a/enable"),
    ] {
        let response = change(method, path, r#""0""#).await;
        let detail = problem(response, StatusCode::PRECONDITION_FAILED, "flags-changed").await;
        assert!(detail.contains("revision 1"), "{detail}");
    }
    for tag in ["1", "*", r#"W/"1""#, r#""0", "1""#, r#""x""#] {
        let response = change(Method::DELETE, "/a", tag).await;
        problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
    assert_eq!(change(Method::DELETE, "/a", r#""1""#).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_rolled_back_version_is_shown_until_flags_may_select_it() {
    let server = Server::start().await;
    server.post(START, json!({"version": "v2"})).await;
    server.post("/api/v1/releases/order.1/rollback", json!({})).await;
    let beta = json!({
        "variants": {"on": "v2"}, "defaultVariant": "on", "metadata": {"service": "order"},
    });
    let set = server.json(Method::PUT, "/api/v1/flags/beta", Some(beta)).await;
    let evaluate = async || server.post("/api/v1/flags/beta/evaluate", json!({})).await;
    let explain = async || {
        let explanation = server.get("/api/v1/releases/order.1/explain").await;
        explanation["text"].to_string()
    };
    let rolled_back = async || {
        let order = server.get("/api/v1/services/order").await;
        let versions = order["versions"].as_array().unwrap().clone();
        versions.into_iter().find(|it| it["name"] == "v2").unwrap()["rolled_back"].clone()
    };
    let words = "rolled back with release `order.1`";
    assert!(set["message"].as_str().unwrap().contains(words), "{set}");
    assert!(evaluate().await["blocked"].as_str().unwrap().contains(words));
    assert!(explain().await.contains(words));
    assert_eq!(rolled_back().await, "order.1");

    let path = "/api/v1/services/order/versions/v2/allow-flags";
    assert_eq!(server.post(path, json!({"actor": "anne"})).await["changed"], true);
    assert_eq!(server.json(Method::POST, path, None).await["changed"], false);
    assert_eq!(evaluate().await.get("blocked"), None);
    assert!(!explain().await.contains(words));
    assert_eq!(rolled_back().await, Value::Null);
}

#[tokio::test]
async fn a_node_has_its_resources() {
    let server = Server::start().await;
    let node = server.get("/api/v1/nodes/twin?fleet=other").await;
    assert_eq!((&node["id"], &node["fleet"]), (&json!("twin"), &json!("other")));
    let at = |ms: u64| format!("1970-01-01T00:00:00.00{ms}Z");
    let expected = json!([{
        "type": "route",
        "pushed": {"version": "abc", "at": at(8), "answered": at(9)},
        "resources": [{"name": "order/v2", "state": "nacked", "sent": "abc", "acked": null}],
    }]);
    assert_eq!(node["types"], expected);
    assert_eq!(node["silent_streams"], 1);
    assert_eq!(node["nacks"]["route"]["message"], "no such cluster");
}

#[tokio::test]
async fn nodes_are_listed() {
    let server = Server::start().await;
    let nodes = server.get("/api/v1/nodes").await;
    assert_eq!(nodes[0]["id"], "envoy-1");
    assert_eq!(nodes[0]["mode"], "delta");
    assert_eq!(nodes[0]["synced"], false);
    assert_eq!(nodes[0]["nacks"]["route"]["message"], "no such cluster");
    assert_eq!(nodes[0]["snapshots_behind"], 1);
    assert_eq!(nodes[0]["filter_version"], "0.1.0");
    let at = "1970-01-01T00:00:00.009Z";
    let last = json!({"type": "route", "version": "abc", "message": "no such cluster", "at": at});
    assert_eq!(nodes[0]["last_nack"], last);
}

/// Reads server-sent events until `count` came, as their ids and data.
async fn read(mut stream: reqwest::Response, count: usize) -> Vec<(u64, Value)> {
    let mut text = String::new();
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(": ").to_owned()
    };
    loop {
        let events: Vec<&str> =
            text.split_inclusive("\n\n").filter(|it| it.ends_with("\n\n")).collect();
        let events: Vec<(u64, Value)> = events
            .iter()
            .map(|it| {
                (
                    field(it, "id").parse().unwrap(),
                    serde_json::from_str(&field(it, "data")).unwrap(),
                )
            })
            .collect();
        if events.len() >= count {
            return events;
        }
        let chunk = stream.chunk().await.unwrap().expect("the stream continues");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test]
async fn a_stream_follows_the_journal_and_resumes() {
    let server = Server::start().await;
    let stream = server.ask(Method::GET, "/api/v1/events/stream", None).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    server.post(START, json!({"version": "v2"})).await;
    let seen = read(stream, 2).await;
    assert_eq!(seen[0].1["event"]["event"], "catalogue_applied");
    assert_eq!(seen[1].1["event"]["event"], "release_started");

    server.json(Method::POST, "/api/v1/releases/order.1/pause", None).await;
    let url = format!("{}/api/v1/events/stream", server.base);
    let stream = server.http.get(url).header("last-event-id", "2").send().await.unwrap();
    let seen = read(stream, 1).await;
    assert_eq!(seen[0].0, 3);
    assert_eq!(seen[0].1["event"]["event"], "paused");
}

#[tokio::test]
async fn a_version_is_removed_unless_it_serves() {
    let server = Server::start().await;
    let path = "/api/v1/services/order/versions/v1";
    let response = server.ask(Method::DELETE, path, None).await;
    let detail = problem(response, StatusCode::CONFLICT, "version-in-use").await;
    assert!(detail.contains("it is the stable version"), "{detail}");
    let path = "/api/v1/services/order/versions/v2";
    let by = json!({"actor": "anne"});
    for changed in [true, false] {
        let outcome = server.json(Method::DELETE, path, Some(by.clone())).await;
        assert_eq!(outcome["changed"], changed);
    }
    let response = server.ask(Method::POST, START, Some(json!({"version": "v2"}))).await;
    problem(response, StatusCode::NOT_FOUND, "unknown-version").await;
}

#[tokio::test]
async fn the_history_of_a_service_has_its_releases_with_their_ends() {
    let server = Server::start().await;
    let start = json!({"version": "v2", "actor": "anne", "commit": "0123abc"});
    server.post(START, start.clone()).await;
    server.post("/api/v1/releases/order.1/abort", json!({})).await;
    server.post(START, start.clone()).await;
    server.post("/api/v1/releases/order.2/promote", json!({"all": true})).await;
    server.post("/api/v1/releases/order.2/promote", json!({})).await;
    server.post("/api/v1/services/order/rollback", json!({})).await;
    server.post(START, start).await;
    let path = "/api/v1/services/order/releases";
    let history = server.get(path).await;
    let row = |it: &Value| {
        let members = ["id", "phase", "candidate", "stable", "started_by", "commit"];
        members.map(|member| it[member].as_str().unwrap_or("-").to_owned())
    };
    let rows: Vec<_> = history["releases"].as_array().unwrap().iter().map(row).collect();
    assert_eq!(
        rows,
        [
            ["order.3", "preparing", "v2", "v1", "anne", "0123abc"],
            ["order.2", "rolled_back", "v2", "v1", "anne", "0123abc"],
            ["order.1", "rolled_back", "v2", "v1", "anne", "0123abc"],
        ]
    );
    let second = &history["releases"][1];
    assert_eq!(second["cause"]["kind"], "operator");
    assert!(second["started_at"].as_str() < second["ended_at"].as_str(), "{second}");
    assert_eq!(history["complete"], true);

    let newest = server.get(&format!("{path}?limit=1")).await;
    assert_eq!(newest["releases"].as_array().unwrap().len(), 1);
    assert_eq!(newest["complete"], false);
    server.fake.append_history(2_500);
    assert_eq!(server.get(path).await["releases"], history["releases"]);
    for query in ["limit=0", "limit=1001", "limt=1"] {
        let response = server.ask(Method::GET, &format!("{path}?{query}"), None).await;
        problem(response, StatusCode::BAD_REQUEST, "bad-request").await;
    }
}
