//! Smoke tests against local sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{run, *};
use crate::controller::fakes::{World, anne, until};
use tidegate_delivery::fixtures::*;
use tidegate_delivery::model::catalogue::Environment;
use tidegate_delivery::model::command::ReleaseCommand;
use tidegate_delivery::model::failure::{RequestFailure, SmokeTestFailure};
use tidegate_delivery::model::release::RollbackCause;
use tidegate_delivery::names::Services;
use tidegate_xds::mesh::{Fleet, Listener, Mesh, Purpose};
use tidegate_xds::resources::{NO_SUCH_VERSION, PREVIEW_HEADER};

/// Short retries; a response that never comes does not time out.
const FAST: RetryPolicy = RetryPolicy {
    timeout: Duration::from_secs(600),
    attempts: 3,
    backoff: Duration::from_millis(1),
};

/// A candidate that responds with 503 to its first requests and with `status` afterwards.
#[derive(Clone, Default)]
struct Candidate {
    status: Arc<AtomicU16>,
    unready: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Candidate {
    fn new(status: u16, unready: usize) -> Self {
        let candidate = Self::default();
        candidate.status.store(status, Ordering::Relaxed);
        candidate.unready.store(unready, Ordering::Relaxed);
        candidate
    }

    fn respond(
        &self,
        headers: &HeaderMap,
    ) -> (StatusCode, [(header::HeaderName, &'static str); 1]) {
        let earlier = self.requests.fetch_add(1, Ordering::Relaxed);
        let location = [(header::LOCATION, "/healthz")];
        let known = headers.get(header::HOST).is_some_and(|it| it == "product.local");
        if !known {
            return (StatusCode::MISDIRECTED_REQUEST, location);
        }
        if earlier < self.unready.load(Ordering::Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, location);
        }
        let status = self.status.load(Ordering::Relaxed);
        (StatusCode::from_u16(status).unwrap(), location)
    }

    /// Serves on a free port, which it returns.
    async fn serve(&self) -> u16 {
        let this = self.clone();
        let respond = move |headers: HeaderMap| async move { this.respond(&headers) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/healthz", axum::routing::get(respond));
        tokio::spawn(async move { axum::serve(listener, app).await });
        port
    }
}

/// `product` with an instance of the green environment at this port.
fn parts(world: &World, green: u16) -> crate::controller::Parts {
    let mut spec = product();
    let version = version(green, Some(Environment::Green));
    spec.versions.insert(name("v2"), version);
    crate::controller::Parts {
        services: vec![order(), spec],
        ..world.parts(Box::new(world.clone()))
    }
}

fn no_previews() -> Previews {
    Previews::of_mesh(&Mesh::new("filter.wasm".to_owned(), Vec::new()))
}

/// A sidecar with a preview listener for all services at this port.
fn preview_at(port: u16) -> Previews {
    let listener = Listener {
        name: "preview".to_owned(),
        address: ([127, 0, 0, 1], port).into(),
        services: Services::All,
        purpose: Purpose::Preview,
    };
    let fleet = Fleet::new(name("edge"), vec![listener]);
    let dir = tempfile::tempdir().unwrap();
    let preview_key = crate::config::preview_key(dir.path()).unwrap();
    Previews::of_mesh(&Mesh { preview_key, ..Mesh::new("filter.wasm".to_owned(), vec![fleet]) })
}

/// Starts a release and returns the phase after `preparing`.
async fn release(green: u16) -> Phase {
    release_with(green, no_previews()).await
}

async fn release_with(green: u16, previews: Previews) -> Phase {
    let world = World::default();
    let handle = crate::controller::spawn(parts(&world, green)).unwrap();
    let tests =
        tokio::spawn(run(handle.clone(), watch::channel(previews).1, FAST, Supervisor::default()));
    handle.submit(start("product", "v2"), anne()).await.unwrap();
    let view = until(&handle, |view| {
        !matches!(newest(&view.state, "product").phase, Phase::Preparing { .. })
    })
    .await;
    handle.stop().await;
    tests.await.unwrap().unwrap();
    newest(&view.state, "product").phase.clone()
}

fn failure(phase: &Phase) -> &SmokeTestFailure {
    match phase {
        Phase::RolledBack { cause: RollbackCause::SmokeTest { failure }, .. } => failure,
        _ => panic!("{phase:?}"),
    }
}

#[tokio::test]
async fn a_candidate_that_passes_its_test_receives_traffic() {
    let candidate = Candidate::new(200, 2);
    let phase = release(candidate.serve().await).await;
    assert!(matches!(phase, Phase::Watching { .. }), "{phase:?}");
    assert_eq!(candidate.requests.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_candidate_that_fails_its_test_is_rolled_back() {
    for status in [500, 302] {
        let candidate = Candidate::new(status, 0);
        let phase = release(candidate.serve().await).await;
        let SmokeTestFailure { url, failure } = failure(&phase);
        assert!(url.ends_with("/healthz"), "{url}");
        assert_eq!(*failure, RequestFailure::UnexpectedStatus { status, expected: 200 });
        assert_eq!(candidate.requests.load(Ordering::Relaxed), 3);
    }
}

#[tokio::test]
async fn a_candidate_that_refuses_connections_is_rolled_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let phase = release(port).await;
    let RequestFailure::Transport { error } = &failure(&phase).failure else { panic!("{phase:?}") };
    assert!(error.to_lowercase().contains("refused"), "{error}");
}

/// A sidecar that has no route to the version for the first `missing` requests, and then responds with `status`.
async fn sidecar(status: u16, missing: usize) -> (u16, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let respond = move |headers: HeaderMap| async move {
        let length = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).map(str::len);
        let authorized =
            length(PREVIEW_HEADER) == Some(64) && headers["x-tidegate-version"] == "v2";
        let known = counted.fetch_add(1, Ordering::Relaxed) >= missing;
        match (authorized, known) {
            (false, _) => (StatusCode::FORBIDDEN, HeaderMap::new()),
            (true, true) => (StatusCode::from_u16(status).unwrap(), HeaderMap::new()),
            (true, false) => {
                let mark = [(PREVIEW_HEADER.parse().unwrap(), NO_SUCH_VERSION.parse().unwrap())];
                (StatusCode::NOT_FOUND, mark.into_iter().collect())
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().route("/healthz", axum::routing::get(respond));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, requests)
}

#[tokio::test]
async fn tests_go_through_a_preview_and_wait_until_it_has_the_version() {
    let (port, requests) = sidecar(200, 10).await;
    // The endpoint itself refuses connections.
    let phase = release_with(1, preview_at(port)).await;
    assert!(matches!(phase, Phase::Watching { .. }), "{phase:?}");
    assert_eq!(requests.load(Ordering::Relaxed), 11);
    let (port, _) = sidecar(503, 0).await;
    let phase = release_with(1, preview_at(port)).await;
    let expected = RequestFailure::UnexpectedStatus { status: 503, expected: 200 };
    assert_eq!(failure(&phase).failure, expected);
}

#[tokio::test]
async fn an_unreachable_sidecar_does_not_fail_the_candidate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let world = World::default();
    let handle = crate::controller::spawn(parts(&world, 1)).unwrap();
    let _tests = tokio::spawn(run(
        handle.clone(),
        watch::channel(preview_at(port)).1,
        FAST,
        Supervisor::default(),
    ));
    handle.submit(start("product", "v2"), anne()).await.unwrap();
    // Much longer than all attempts at an endpoint take.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let phase = newest(&handle.view().borrow().state, "product").phase.clone();
    assert!(matches!(phase, Phase::Preparing { .. }), "{phase:?}");
}

#[tokio::test]
async fn a_restart_runs_the_pending_tests() {
    let candidate = Candidate::new(200, 0);
    let port = candidate.serve().await;
    let world = World::default();
    let handle = crate::controller::spawn(parts(&world, port)).unwrap();
    handle.submit(start("product", "v2"), anne()).await.unwrap();
    handle.stop().await;

    let handle = crate::controller::spawn(parts(&world, port)).unwrap();
    let _tests = tokio::spawn(run(
        handle.clone(),
        watch::channel(no_previews()).1,
        FAST,
        Supervisor::default(),
    ));
    until(&handle, |view| matches!(newest(&view.state, "product").phase, Phase::Watching { .. }))
        .await;
}

#[tokio::test]
async fn aborting_a_release_aborts_its_tests() {
    let world = World::default();
    // It accepts connections and never responds.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let handle = crate::controller::spawn(parts(&world, port)).unwrap();
    let _tests = tokio::spawn(run(
        handle.clone(),
        watch::channel(no_previews()).1,
        FAST,
        Supervisor::default(),
    ));
    handle.submit(start("product", "v2"), anne()).await.unwrap();
    let (mut connection, _) = listener.accept().await.unwrap();
    let abort = verb("product.1", ReleaseCommand::Abort);
    handle.submit(abort, anne()).await.unwrap();
    // The connection ends because the request is dropped.
    let mut request = Vec::new();
    let end = connection.read_to_end(&mut request);
    timeout(Duration::from_secs(30), end).await.unwrap().unwrap();
    assert!(request.starts_with(b"GET /healthz HTTP/1.1\r\n"));
    let phase = &newest(&handle.view().borrow().state, "product").phase.clone();
    assert!(matches!(phase, Phase::RolledBack { cause: RollbackCause::Operator, .. }), "{phase:?}");
}
