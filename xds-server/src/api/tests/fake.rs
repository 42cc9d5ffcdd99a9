//! A control plane without I/O: the real reducer and fold over a journal in memory, served by the
//! real router on a real socket.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidegate_delivery::model::blocker::Blocker;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tidegate_core::version::FilterVersion;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::backend::Backend;
use crate::api::{router, serve};
use crate::config;
use crate::controller::{CommandError, DeliveryView, Origin};
use crate::journal::{Head, NewRecord, Record};
use crate::reload::{DryRun, FileStatus, Probed, ReloadError};
use crate::telemetry::counts::Counts;
use crate::telemetry::recent::RecentFigures;
use crate::xds::fleet::{Channel, Inspection, Nack, NodeStatus, Push, StreamReport, TypeReport};
use tidegate_delivery::judge::{Evidence, Verdict};
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::model::command::{Command, CommandContext, Outcome};
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::progress::{AckTimes, Convergence, Observation, Progress};
use tidegate_delivery::names::{FleetName, ReleaseId, ServiceName, VersionName};
use tidegate_delivery::reducer::{Declared, changes_of, decide_command};
use tidegate_delivery::units::{Ppm, Timestamp};
use tidegate_xds::kind::{Kind, Mode};
use tidegate_xds::protocol::{ResourceStatus, SyncState};

/// Two services: `order` is a canary, `product` blue/green.
pub(super) const CONFIG: &str = r#"
filter: {wasm: filter.wasm}
fleets: [{name: demo}]
services:
  - name: order
    hosts: ["order.local"]
    strategy: {canary: {steps: [5%, 100%]}}
    stable: v1
    versions: [{name: v1, endpoints: ["127.0.0.1:9101"]}, {name: v2, endpoints: ["[::1]:9102"]}]
  - name: product
    hosts: ["product.local"]
    strategy: {blue_green: {}}
    environments: {blue: {endpoints: ["127.0.0.1:9201"]}, green: {endpoints: ["127.0.0.1:9202"]}}
    active: blue
"#;

pub(super) struct Fake {
    journal: Mutex<Vec<Record>>,
    view: watch::Sender<Arc<DeliveryView>>,
    /// The error of the next command.
    pub(super) broken: Mutex<Option<CommandError>>,
    /// The damage of the journal.
    pub(super) damage: Mutex<Option<String>>,
    /// The state of the configuration file.
    pub(super) file: Mutex<FileStatus>,
}

impl Fake {
    fn new() -> Self {
        let fake = Self {
            journal: Mutex::default(),
            view: watch::Sender::default(),
            broken: Mutex::default(),
            damage: Mutex::default(),
            file: Mutex::new(FileStatus { path: "tidegate.yaml".into(), failure: None }),
        };
        let services = config::check(CONFIG, Path::new("")).unwrap().services;
        fake.append("config", None, Event::CatalogueApplied { services });
        fake
    }

    /// Appends and folds, as the controller does.
    pub(super) fn append(&self, actor: &str, reason: Option<String>, event: Event) {
        let mut journal = self.journal.lock();
        let seq = journal.len() as u64 + 1;
        let at = Timestamp(seq * 1000);
        self.view.send_modify(|view| {
            let mut next = DeliveryView::clone(view);
            Arc::make_mut(&mut next.state).apply(at, &event).unwrap();
            Arc::make_mut(&mut next.figures).take(at, &event);
            next.seq = seq;
            next.serial = seq;
            *view = Arc::new(next);
        });
        let actor = actor.to_owned();
        let head =
            journal.iter().fold(Head::genesis(), |head, record| record.verify(&head).unwrap());
        let new = NewRecord { at, actor, reason, event };
        journal.push(Record::link(&head, new).unwrap());
    }

    /// Declares the fleets, so that the services are routed to.
    pub(super) fn declare_fleets(&self) {
        let fleets = config::check(CONFIG, Path::new("")).unwrap().mesh.fleets;
        self.append("config", None, Event::FleetsApplied { fleets });
    }

    /// Appends records that change no state, as a journal of years has.
    pub(super) fn append_history(&self, count: u64) {
        let mut journal = self.journal.lock();
        let last = journal.last().unwrap();
        let mut head = Head { seq: last.seq, hash: last.hash };
        for _ in 0..count {
            let event = Event::FlagDeleted { key: "k".to_owned() };
            let (actor, at) = ("anne".to_owned(), Timestamp(head.seq * 1000));
            let new = NewRecord { at, actor, reason: None, event };
            let record = Record::link(&head, new).unwrap();
            head = Head { seq: record.seq, hash: record.hash };
            journal.push(record);
        }
    }

    pub(super) fn halt(&self, why: &str) {
        self.view.send_modify(|view| Arc::make_mut(view).halted = Some(why.to_owned()));
    }

    /// Since the step began, the candidate received 120 requests and stable 880.
    pub(super) fn observe(&self, release: &str) {
        let evidence = |requests| Evidence { requests, ..Evidence::default() };
        let progress = Progress {
            observation: Observation {
                verdict: Verdict::Healthy,
                candidate: evidence(120),
                stable: evidence(880),
                counted_for: Duration::from_secs(10),
                convergence: Convergence {
                    acked: 1,
                    connected: 2,
                    lagging: vec!["envoy-2".to_owned()],
                    times: Some(AckTimes {
                        p50: Duration::from_millis(40),
                        p99: Duration::from_millis(84),
                    }),
                    ..Convergence::default()
                },
                coverage_remaining: Duration::ZERO,
            },
            blockers: vec![Blocker::NoSidecars],
            time_left: Duration::from_millis(1500),
        };
        let id: ReleaseId = release.parse().unwrap();
        self.view.send_modify(|view| {
            Arc::make_mut(view).progress.insert(id, progress);
        });
    }
}

fn applied(config: config::Config, allow: BTreeSet<Loss>) -> Command {
    let config::Config { hash, services, freeze_windows, mesh, .. } = config;
    let version = Version { hash, source: Source::Api };
    let fleets = mesh.fleets;
    Command::ApplyConfiguration { version, fleets, services, freeze_windows, allow }
}

impl Backend for Fake {
    fn submit(
        &self,
        command: Command,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, CommandError>> {
        async move {
            if let Some(error) = self.broken.lock().take() {
                return Err(error);
            }
            let state = self.view.borrow().state.clone();
            let at = Timestamp((self.journal.lock().len() as u64 + 1) * 1000);
            let command_context = CommandContext {
                actor: &origin.actor,
                reason: origin.reason.as_deref(),
                at,
                wall: at,
            };
            let (events, outcome) = decide_command(&state, &command_context, &command)?;
            for event in events {
                self.append(&origin.actor, origin.reason.clone(), event);
            }
            Ok(outcome)
        }
        .boxed()
    }

    fn apply(
        &self,
        text: String,
        allow: BTreeSet<Loss>,
        origin: Origin,
    ) -> BoxFuture<'_, Result<Outcome, ReloadError>> {
        async move {
            let config = config::check(&text, Path::new("")).map_err(ReloadError::Invalid)?;
            Ok(self.submit(applied(config, allow), origin).await?)
        }
        .boxed()
    }

    fn try_out(
        &self,
        text: String,
        mut allow: BTreeSet<Loss>,
        origin: Origin,
    ) -> BoxFuture<'_, Result<DryRun, ReloadError>> {
        async move {
            let config = config::check(&text, Path::new("")).map_err(ReloadError::Invalid)?;
            let state = self.view.borrow().state.clone();
            let declared = Declared {
                fleets: &config.mesh.fleets,
                services: &config.services,
                freeze_windows: &config.freeze_windows,
            };
            let changes = changes_of(&state, Timestamp(1), &declared)?;
            let losses = changes.iter().filter_map(|it| it.loss.clone());
            let refused: Vec<_> = losses.filter(|it| !allow.contains(it)).collect();
            allow.extend(refused.iter().cloned());
            let command_context = CommandContext {
                actor: &origin.actor,
                reason: None,
                at: Timestamp(1),
                wall: Timestamp(1),
            };
            let outcome = decide_command(&state, &command_context, &applied(config, allow))?.1;
            let (changes, probed) = (config::locate(&text, changes), Probed::default());
            Ok(DryRun { outcome, refused, changes, probed })
        }
        .boxed()
    }

    fn file(&self) -> FileStatus {
        self.file.lock().clone()
    }

    fn view(&self) -> watch::Receiver<Arc<DeliveryView>> {
        self.view.subscribe()
    }

    fn events(&self, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, CommandError>> {
        let journal = self.journal.lock();
        let later = journal.iter().filter(|record| record.seq > after);
        let page = later.take(limit).cloned().collect();
        async move { Ok(page) }.boxed()
    }

    fn totals(&self, service: &ServiceName) -> BTreeMap<VersionName, Counts> {
        let counts = Counts { requests: 7, errors: 1, ..Counts::default() };
        match service.as_str() {
            "order" => BTreeMap::from([("v1".parse().unwrap(), counts)]),
            _ => BTreeMap::new(),
        }
    }

    fn recent(&self, service: &ServiceName) -> BTreeMap<VersionName, RecentFigures> {
        let figures = RecentFigures {
            window: Duration::from_secs(28),
            requests: 700,
            requests_per_second: 25.0,
            error_rate: Some(Ppm::percent(2)),
            p50: Some(Duration::from_micros(12_300)),
            p99: Some(Duration::from_millis(84)),
        };
        match service.as_str() {
            "order" => BTreeMap::from([("v1".parse().unwrap(), figures)]),
            _ => BTreeMap::new(),
        }
    }

    fn unresolved_names(&self) -> Arc<BTreeSet<String>> {
        Arc::new(["order-c.internal".to_owned()].into())
    }

    fn carries(&self, fleet: &FleetName, _: &ServiceName) -> bool {
        fleet.as_str() == "demo"
    }

    fn nodes(&self) -> Vec<NodeStatus> {
        let nack = Nack {
            version: "abc".to_owned(),
            message: "no such cluster".to_owned(),
            at: Timestamp(9),
        };
        let node = |node: &str, fleet: &str, connected| NodeStatus {
            node: node.to_owned(),
            fleet: fleet.parse().unwrap(),
            connected,
            since: Timestamp(5),
            channel: Channel::Xds(Mode::Delta),
            synced: 0,
            acked: BTreeMap::new(),
            nacks: BTreeMap::from([(Kind::Route, nack.clone())]),
            last_nack: Some((Kind::Route, nack.clone())),
            filter_version: FilterVersion::parse("0.1.0", 1).ok(),
            last_report: connected.then_some(Timestamp(9)),
            silent: false,
        };
        vec![
            node("envoy-1", "demo", true),
            node("twin", "demo", false),
            node("twin", "other", false),
            // Of a fleet that carries no service.
            node("apart", "apart", true),
        ]
    }

    fn inspect<'a>(&'a self, _: &'a FleetName, _: &'a str) -> BoxFuture<'a, Inspection> {
        let holding = ResourceStatus {
            name: "order/v2".into(),
            state: SyncState::Nacked,
            sent: Some("abc".into()),
            acked: None,
            content: None,
        };
        let push = Push { version: "abc".into(), at: Timestamp(8), answered: Some(Timestamp(9)) };
        let report = TypeReport { pushed: Some(push), holdings: vec![holding] };
        let types = BTreeMap::from([(Kind::Route, report)]);
        let streams = vec![StreamReport { mode: Mode::Delta, types }];
        async move { Inspection { streams, silent: 1 } }.boxed()
    }

    fn damage(&self) -> Option<String> {
        self.damage.lock().clone()
    }

    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }

    fn register(&self, _: &mut Registry) {}
}

/// The API, running.
pub(super) struct Server {
    pub(super) fake: Arc<Fake>,
    pub(super) http: reqwest::Client,
    pub(super) base: String,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let fake = Arc::new(Fake::new());
        let (stop, stopped) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = router(fake.clone(), stopped.clone());
        Self {
            fake,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            base,
            stop,
            task: tokio::spawn(serve::serve(listener, router, stopped)),
        }
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    /// A request that must succeed.
    pub(super) async fn json(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let response = self.ask(method, path, body).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.json(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        self.json(Method::POST, path, Some(body)).await
    }
}

/// Checks the members of a problem, and returns its detail.
pub(super) async fn problem(response: Response, status: StatusCode, kind: &str) -> String {
    let path = response.url().path().to_owned();
    assert_eq!(response.status(), status, "{path}");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["type"], format!("urn:tidegate:problem:{kind}"));
    assert_eq!(body["instance"], path);
    assert!(body["title"].is_string());
    body["detail"].as_str().unwrap().to_owned()
}
