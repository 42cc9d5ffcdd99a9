//! Fuzz target of the REST API: requests to the router, with a control plane in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tidegate::api;
use tidegate::api::backend::Backend;
use tidegate::controller::{CommandError, DeliveryView, Origin};
use tidegate::journal::Record;
use tidegate::reload::{DryRun, FileStatus, ReloadError};
use tidegate::telemetry::counts::Counts;
use tidegate::telemetry::recent::RecentFigures;
use tidegate::xds::fleet::{Inspection, NodeStatus};
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::model::command::{Command, Outcome};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{FleetName, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::world;

/// The real reducer and fold, without a journal.
struct Memory(watch::Sender<Arc<DeliveryView>>);

impl Memory {
    fn new(state: &State) -> Self {
        let view = DeliveryView { state: Arc::new(state.clone()), ..DeliveryView::default() };
        Self(watch::Sender::new(Arc::new(view)))
    }
}

impl Backend for Memory {
    fn submit(
        &self,
        command: Command,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, CommandError>> {
        let mut result = Err(CommandError::Stopped);
        self.0.send_modify(|view| {
            let view = Arc::make_mut(view);
            let state = Arc::make_mut(&mut view.state);
            result = world::execute(state, &origin.actor, &command).map_err(CommandError::Refused);
        });
        async move { result }.boxed()
    }

    fn view(&self) -> watch::Receiver<Arc<DeliveryView>> {
        self.0.subscribe()
    }

    fn events(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<Record>, CommandError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn totals(&self, _: &ServiceName) -> BTreeMap<VersionName, Counts> {
        BTreeMap::new()
    }

    fn recent(&self, _: &ServiceName) -> BTreeMap<VersionName, RecentFigures> {
        BTreeMap::new()
    }

    fn history(&self, _: &ServiceName) -> Arc<StableHistory> {
        Arc::default()
    }

    fn unresolved_names(&self) -> Arc<BTreeSet<String>> {
        Arc::default()
    }

    fn carries(&self, _: &FleetName, _: &ServiceName) -> bool {
        true
    }

    fn nodes(&self) -> Vec<NodeStatus> {
        Vec::new()
    }

    fn inspect<'a>(&'a self, _: &'a FleetName, _: &'a str) -> BoxFuture<'a, Inspection> {
        async { Inspection::default() }.boxed()
    }

    // Configurations are a fuzz target of their own.
    fn apply(
        &self,
        _: String,
        _: BTreeSet<Loss>,
        _: Origin,
    ) -> BoxFuture<'_, Result<Outcome, ReloadError>> {
        async { Err(ReloadError::NeedsRestart(vec!["listen"])) }.boxed()
    }

    fn try_out(
        &self,
        _: String,
        _: BTreeSet<Loss>,
        _: Origin,
    ) -> BoxFuture<'_, Result<DryRun, ReloadError>> {
        async { Err(ReloadError::NeedsRestart(vec!["listen"])) }.boxed()
    }

    fn file(&self) -> FileStatus {
        FileStatus { path: "tidegate.yaml".into(), failure: None }
    }

    fn damage(&self) -> Option<String> {
        None
    }

    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }

    fn register(&self, _: &mut Registry) {}
}

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    );
}

/// Sends requests, separated by zero bytes. The first line is method and path, the rest the body.
pub(crate) fn rest(data: &[u8]) {
    let (_stop, stopped) = watch::channel(false);
    let router = api::router(Arc::new(Memory::new(&world::RELEASING)), stopped);
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            for request in data.split(|byte| *byte == 0).take(8) {
                send(&router, request).await;
            }
        });
    });
}

async fn send(router: &Router, request: &[u8]) {
    let mut lines = request.splitn(2, |byte| *byte == b'\n');
    let head = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let (method, path) = head.split_once(' ').unwrap_or(("GET", head));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return;
    };
    let body = Body::from(lines.next().unwrap_or_default().to_vec());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body);
    // Invalid HTTP does not reach the router.
    let Ok(request) = request else {
        return;
    };
    let Ok(response) = router.clone().oneshot(request).await;
    let status = response.status();
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{head}");
    if status.is_client_error() {
        let kind = response.headers().get("content-type");
        assert!(kind.is_some_and(|kind| kind == "application/problem+json"), "{head}: {status}");
    }
}
