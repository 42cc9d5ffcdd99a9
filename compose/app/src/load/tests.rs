//! The load generator against the demo service on loopback.

use std::time::Duration;

use super::*;
use crate::faults::Faults;
use crate::service::{Service, ServiceVersion};

async fn service(version: &str, faults: Faults) -> Service {
    let name = ServiceVersion { service: "order".to_owned(), version: version.to_owned() };
    Service::start(name, "127.0.0.1:0".parse().unwrap(), faults).await.unwrap()
}

async fn until_finished(load: &LoadGenerator, requests: u64) {
    while load.snapshot().finished < requests {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn config(services: &[&Service]) -> LoadConfig {
    let targets = services.iter().map(|service| service.address()).collect();
    LoadConfig {
        rate: 500.0,
        track_users: true,
        users: 10,
        ..LoadConfig::new(targets, "order.local")
    }
}

#[tokio::test]
async fn responses_are_counted_by_version_over_several_targets() {
    let (one, two) =
        (service("v1", Faults::default()).await, service("v2", Faults::default()).await);
    let load = LoadGenerator::start(&config(&[&one, &two])).unwrap();
    until_finished(&load, 100).await;
    let users = load.take_users();
    let report = load.stop().await;
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    assert_eq!(report.versions["v1"].finished, one.requests());
    assert_eq!(report.versions["v2"].finished, two.requests());
    assert_eq!(report.sent, one.requests() + two.requests());
    assert_eq!(users.len(), 10);
    assert!(
        users.values().all(|versions| versions.contains_key("v1") && versions.contains_key("v2"))
    );
}

#[tokio::test]
async fn failures_name_the_version_and_resets_name_none() {
    let service = service("v2", Faults::errors(1.0, 502).unwrap()).await;
    let load = LoadGenerator::start(&config(&[&service])).unwrap();
    until_finished(&load, 20).await;
    let failures = load.failures_from(0);
    assert!(
        failures.iter().all(|one| one.status == Some(502) && one.version.as_deref() == Some("v2")),
        "{failures:?}"
    );
    let before = load.snapshot().failed;
    service.set_faults(serde_json::from_str(r#"{"reset_share": 1}"#).unwrap());
    while !load.snapshot().versions.contains_key("-") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let report = load.stop().await;
    assert_eq!(report.failed, report.sent);
    let reset = report
        .failures
        .iter()
        .skip(usize::try_from(before).unwrap())
        .find(|one| one.version.is_none())
        .unwrap();
    assert!(reset.detail.contains("reset"), "{reset}");
    assert!(reset.to_string().starts_with("FAILED +"), "{reset}");
}

#[tokio::test]
async fn slow_responses_delay_no_request_and_count_from_the_due_time() {
    let service = service("v1", Faults::slow(300.0, 300.0).unwrap()).await;
    let load = LoadGenerator::start(&config(&[&service])).unwrap();
    // A closed loop would have sent one request per connection before the first response.
    until_finished(&load, 1).await;
    assert!(load.snapshot().sent > 100, "{:?}", load.snapshot());
    let report = load.stop().await;
    assert_eq!(report.failed, 0);
    assert!(report.versions["v1"].p50_ms >= 290.0);
}

#[tokio::test]
async fn requests_without_a_slot_fail_unsent_and_slow_ones_time_out() {
    let service = service("v1", Faults::slow(60_000.0, 60_000.0).unwrap()).await;
    let timeout = Duration::from_millis(200);
    let load =
        LoadGenerator::start(&LoadConfig { max_in_flight: 2, timeout, ..config(&[&service]) })
            .unwrap();
    until_finished(&load, 20).await;
    let report = load.stop().await;
    assert!(report.outcomes["not sent"] > 0);
    assert!(report.outcomes["timeout"] >= 2);
    assert_eq!(report.failed, report.sent);
}

#[tokio::test]
async fn invalid_configurations_are_rejected() {
    let target = vec!["127.0.0.1:1".parse().unwrap()];
    for (config, reason) in [
        (LoadConfig::new(target.clone(), "a\nb"), "host"),
        (
            LoadConfig { path: "no slash".to_owned(), ..LoadConfig::new(target.clone(), "a") },
            "path",
        ),
        (
            LoadConfig { user_header: "x y".to_owned(), ..LoadConfig::new(target.clone(), "a") },
            "user header",
        ),
        (LoadConfig { max_in_flight: 0, ..LoadConfig::new(target.clone(), "a") }, "max_in_flight"),
        (LoadConfig::new(Vec::new(), "a"), "target"),
        (LoadConfig { rate: 0.0, ..LoadConfig::new(target, "a") }, "rate"),
    ] {
        let error = LoadGenerator::start(&config).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}
