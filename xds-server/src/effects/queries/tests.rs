//! Queries against a local HTTP server, through a controller.

use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::TcpListener;

use super::{run, *};
use crate::controller::fakes::{World, anne, until};
use tidegate_delivery::fixtures::*;
use tidegate_delivery::judge::Guardrail;
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::release::{Phase, RollbackCause};

/// A Prometheus server with the values of some expressions; without a value it fails. And the paths of endpoints.
#[derive(Clone, Default)]
struct FakePrometheus(Arc<Mutex<HashMap<String, String>>>);

impl FakePrometheus {
    async fn start(&self) -> String {
        let values = self.clone();
        let of_query = move |Query(query): Query<HashMap<String, String>>| {
            let value = values.0.lock().get(&query["query"]).cloned();
            async move {
                let value = value.ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
                Ok::<_, StatusCode>(format!(
                    r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{value}"]}}]}}}}"#
                ))
            }
        };
        let values = self.clone();
        let of_path = move |uri: Uri| {
            let value = values.0.lock().get(uri.path()).cloned();
            async move { value.ok_or(StatusCode::NOT_FOUND) }
        };
        let app =
            Router::new().route("/api/v1/query", axum::routing::get(of_query)).fallback(of_path);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn set(&self, key: &str, value: &str) {
        self.0.lock().insert(key.to_owned(), value.to_owned());
    }
}

fn guardrail(source: QuerySource) -> QueryGuardrail {
    QueryGuardrail {
        name: name("queue"),
        source,
        interval: Duration::from_millis(5),
        timeout: Duration::from_secs(60),
        alert: Some("> 5".parse().unwrap()),
        rollback: None,
        consecutive: 3,
        required: false,
        token_file: None,
    }
}

/// `order` with a query; its release is on the first step.
async fn release(world: &World, query: QueryGuardrail) -> Handle {
    let mut spec = order();
    spec.guardrails.queries = vec![query];
    let parts = world.parts(Box::new(world.clone()));
    let parts = crate::controller::Parts { services: vec![spec, product()], ..parts };
    let handle = crate::controller::spawn(parts).unwrap();
    let queries = Queries::new().unwrap();
    // The clock of the controller.
    let clock = Clock::new(|| tidegate_delivery::units::Timestamp(0));
    tokio::spawn(run(queries, handle.clone(), clock, Supervisor::default()));
    handle.submit(start("order", "v2"), anne()).await.unwrap();
    handle
}

#[tokio::test]
async fn a_candidate_beyond_stable_is_rolled_back() {
    let prometheus = FakePrometheus::default();
    let url = prometheus.start().await;
    prometheus.set(r#"errors{version="v2"}"#, "4.5");
    prometheus.set(r#"errors{version="v1"}"#, "2");
    let query = r#"errors{version="$candidate"}"#.to_owned();
    let stable = Some(r#"errors{version="$stable"}"#.to_owned());
    let rollback = Some("> 200% of stable".parse().unwrap());
    let source = QuerySource::Prometheus { url, query, stable };
    let world = World::default();
    let handle = release(&world, QueryGuardrail { rollback, ..guardrail(source) }).await;
    let view = until(&handle, |view| {
        let release = view.state.services["order"].release.as_ref();
        release.is_some_and(|it| !it.is_running())
    })
    .await;
    let release = view.state.services["order"].release.as_ref().unwrap();
    let Phase::RolledBack { cause: RollbackCause::Guardrail { finding }, .. } = &release.phase
    else {
        panic!("{:?}", release.phase);
    };
    assert_eq!(finding.guardrail, Guardrail::Query(name("queue")));
    let text = finding.to_string();
    assert!(text.starts_with("query `queue` > 200% of stable: 4.5, stable 2, "), "{text}");
    // At least: more samples may come before the controller evaluates.
    assert!(finding.bad >= 3, "{text}");
}

#[tokio::test]
async fn a_failed_query_is_shown_and_blocks_only_if_it_is_required() {
    let prometheus = FakePrometheus::default();
    let url = prometheus.start().await;
    let source = QuerySource::Http { url: format!("{url}/queue/$candidate"), stable: None };
    let world = World::default();
    let handle = release(&world, QueryGuardrail { required: true, ..guardrail(source) }).await;
    let missing = |error: Option<String>| Blocker::QueryMissing {
        guardrail: Guardrail::Query(name("queue")),
        error,
    };
    let failed = missing(Some("status 404 Not Found".to_owned()));
    until(&handle, |view| view.progress.values().any(|it| it.blockers.contains(&failed))).await;
    prometheus.set("/queue/v2", "1");
    let view = until(&handle, |view| {
        view.progress.values().any(|it| it.observation.queries.iter().all(|it| !it.missing))
    })
    .await;
    let progress = view.progress.values().next().unwrap();
    assert!(!progress.blockers.contains(&failed), "{:?}", progress.blockers);
    prometheus.set("/queue/v2", "9");
    until(&handle, |view| {
        let release = view.state.services["order"].release.as_ref();
        release.is_some_and(|it| it.alerts.contains_key(&Guardrail::Query(name("queue"))))
    })
    .await;
    // Changes are in the journal, samples are not.
    let kinds: Vec<_> = world.records().iter().map(|it| it.event.event().kind()).collect();
    assert_eq!(kinds.iter().filter(|it| **it == "alert_raised").count(), 1, "{kinds:?}");
    assert!(world.records().len() < 12, "{kinds:?}");
    let is_alert = |event: &Event| matches!(event, Event::AlertRaised { .. });
    assert!(world.records().iter().any(|it| is_alert(it.event.event())));
}

#[tokio::test]
async fn a_server_that_hangs_or_floods_yields_an_error() {
    let prometheus = FakePrometheus::default();
    let url = prometheus.start().await;
    prometheus.set("/flood", &"1".repeat(MAX_BODY + 1));
    let client = QueryClient::new().unwrap();
    let flood = QuerySource::Http { url: format!("{url}/flood"), stable: None };
    let error = ask(&client, &guardrail(flood.clone()), &flood).await.unwrap_err();
    assert!(error.contains("length limit exceeded"), "{error}");
    // Accepts the connection, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let source = QuerySource::Http { url, stable: None };
    let guardrail =
        QueryGuardrail { timeout: Duration::from_millis(20), ..guardrail(source.clone()) };
    let error = ask(&client, &guardrail, &source).await.unwrap_err();
    assert_eq!(error, "no response within 20 ms");
}

#[test]
fn only_steps_are_asked_with_the_names_of_the_release() {
    let mut state = declared();
    let source = QuerySource::Http { url: "http://q/$service/$candidate".to_owned(), stable: None };
    let mut spec = order();
    spec.guardrails.queries = vec![guardrail(source)];
    let event = Event::CatalogueApplied { services: vec![spec, product()] };
    state.apply(tidegate_delivery::units::Timestamp(0), &event).unwrap();
    assert_eq!(wanted(&state), BTreeMap::new());
    run_release(&mut state);
    let all = wanted(&state);
    let (_, asked) = all.iter().next().unwrap();
    let expected = QuerySource::Http { url: "http://q/order/v2".to_owned(), stable: None };
    assert_eq!((all.len(), &asked.source, asked.step), (1, &expected, Some(0)));
}

fn run_release(state: &mut State) {
    let now = tidegate_delivery::units::Timestamp(0);
    tidegate_delivery::fixtures::run(state, now, &start("order", "v2")).unwrap();
    let release = state.services["order"].release.as_ref().unwrap().clone();
    if release.step().is_none() {
        let weight = release.plan.steps[0].weight;
        let entered = Event::StepEntered {
            id: release.id,
            step: 0,
            holdback: tidegate_delivery::units::Ppm::ZERO,
            weight,
            evidence: None,
        };
        state.apply(now, &entered).unwrap();
    }
}
