//! A simulated environment of the controller: clocks, sidecars, counts and disk are set by the test.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{
    DeliveryView, EvidenceSource, Handle, Origin, Parts, Recount, RollbackTimes, Sidecars, spawn,
};
use crate::clock::Clock;
use crate::journal::{Head, Journal, JournalError, JournalReader, NewRecord, Record, Sqlite};
use tidegate_delivery::fixtures::{nack, order, product};
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::StableCounts;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::{Ppm, Timestamp};
use tidegate_xds::mesh::Mesh;

struct Inner {
    mesh: Mesh,
    /// Milliseconds of the monotonic clock.
    time: u64,
    /// Milliseconds of the system clock.
    wall: u64,
    /// The last serial that one of the two sidecars has, if it lags.
    lagging_at: Option<u64>,
    /// Whether one of them NACKs its routes.
    nacks: bool,
    /// Whether one of them has the filter and does not report.
    silent: bool,
    /// Stable version of `order` and weight of its candidate, per publication.
    published: Vec<(String, Option<Ppm>)>,
    counts: BTreeMap<String, Evidence>,
    disk_full: bool,
    disk_hangs: bool,
    records: Vec<Record>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            mesh: Mesh::new("filter.wasm".to_owned(), Vec::new()),
            time: 0,
            wall: 0,
            lagging_at: None,
            nacks: false,
            silent: false,
            published: Vec::new(),
            counts: BTreeMap::new(),
            disk_full: false,
            disk_hangs: false,
            records: Vec::new(),
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct World {
    inner: Arc<Mutex<Inner>>,
    wake: Arc<Notify>,
}

impl World {
    /// A controller of two services with a journal in memory.
    pub(crate) fn start(&self) -> Handle {
        spawn(self.parts(Box::new(self.clone()))).unwrap()
    }

    /// A controller of two services with a journal on disk.
    pub(crate) fn start_in(&self, directory: &Path) -> Handle {
        spawn(self.parts(Box::new(Sqlite::open(directory).unwrap()))).unwrap()
    }

    pub(crate) fn parts(&self, journal: Box<dyn Journal>) -> Parts {
        let (monotonic, wall) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
        Parts {
            journal,
            sidecars: Box::new(self.clone()),
            evidence_source: Box::new(self.clone()),
            clock: Clock::of(
                move || Timestamp(monotonic.lock().time),
                move || Timestamp(wall.lock().wall),
            ),
            version: Version { hash: "first".to_owned(), source: Source::File },
            mesh: self.mesh(),
            services: vec![order(), product()],
            freeze_windows: Vec::new(),
            flags: None,
            wake: Arc::clone(&self.wake),
            rollback_times: RollbackTimes::default(),
        }
    }

    /// Advances both clocks.
    pub(crate) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        let mut inner = self.inner.lock();
        inner.time += millis;
        inner.wall += millis;
        drop(inner);
        self.wake.notify_one();
    }

    /// Steps the system clock, as an administrator, NTP or the end of a suspend does.
    pub(crate) fn set_wall(&self, to: Duration) {
        self.inner.lock().wall = u64::try_from(to.as_millis()).unwrap();
        self.wake.notify_one();
    }

    pub(crate) fn serve(&self, version: &str, requests: u64, errors: u64) {
        let mut inner = self.inner.lock();
        let counts = inner.counts.entry(version.to_owned()).or_default();
        counts.requests += requests;
        counts.errors += errors;
        drop(inner);
        self.wake.notify_one();
    }

    pub(crate) fn lag(&self, lagging: bool) {
        let mut inner = self.inner.lock();
        inner.lagging_at = lagging.then(|| inner.published.len() as u64);
        drop(inner);
        self.wake.notify_one();
    }

    pub(crate) fn nack(&self, nacks: bool) {
        self.inner.lock().nacks = nacks;
        self.wake.notify_one();
    }

    pub(crate) fn silence(&self, silent: bool) {
        self.inner.lock().silent = silent;
        self.wake.notify_one();
    }

    pub(crate) fn fill_disk(&self, full: bool) {
        self.inner.lock().disk_full = full;
    }

    pub(crate) fn wait_for_disk(&self) {
        while self.inner.lock().disk_hangs {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn hang_disk(&self, hangs: bool) {
        self.inner.lock().disk_hangs = hangs;
    }

    pub(crate) fn published(&self) -> Vec<(String, Option<Ppm>)> {
        self.inner.lock().published.clone()
    }

    /// The mesh of the last publication.
    pub(crate) fn mesh(&self) -> Mesh {
        self.inner.lock().mesh.clone()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.inner.lock().records.clone()
    }
}

impl Sidecars for World {
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64 {
        self.inner.lock().mesh = mesh.clone();
        let split = state.services["order"].split();
        let split = (split.stable.to_string(), split.candidate.map(|it| it.1));
        let published = &mut self.inner.lock().published;
        published.push(split);
        published.len() as u64
    }

    fn convergence(&self, serial: u64, _: &ServiceName) -> Convergence {
        let inner = self.inner.lock();
        let silent_nodes = if inner.silent { vec!["edge-1".to_owned()] } else { Vec::new() };
        let silent = u32::from(inner.silent);
        let all =
            Convergence { acked: 2, connected: 2, silent, silent_nodes, ..Convergence::default() };
        if inner.nacks {
            return Convergence { acked: 1, nacked: 1, nacks: vec![nack()], ..all };
        }
        if inner.lagging_at.is_some_and(|at| at < serial) {
            return Convergence { acked: 1, lagging: vec!["edge-2".to_owned()], ..all };
        }
        all
    }

    fn time_since_gap(&self, _: &ServiceName) -> Duration {
        Duration::MAX
    }
}

impl EvidenceSource for World {
    fn evidence(
        &self,
        _: &ReleaseId,
        _: &ServiceName,
        version: &VersionName,
        _: &Guardrails,
    ) -> Evidence {
        let inner = self.inner.lock();
        inner.counts.get(version.as_str()).copied().unwrap_or_default()
    }

    fn recount(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
    ) -> Recount {
        let counted = self.evidence(release, service, version, &Guardrails::default());
        Box::new(move |_| counted)
    }

    fn of_stable(&self, _: &ServiceName, stable: &VersionName) -> StableCounts {
        let counted = self.inner.lock().counts.get(stable.as_str()).copied().unwrap_or_default();
        StableCounts::of_failures(counted.failures())
    }
}

impl Journal for World {
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        self.wait_for_disk();
        let mut inner = self.inner.lock();
        if inner.disk_full {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            return Err(rusqlite::Error::SqliteFailure(full, None).into());
        }
        let mut written = Vec::new();
        for new in records {
            let last = inner.records.last();
            let head = last.map_or_else(Head::genesis, |it| Head { seq: it.seq, hash: it.hash });
            let record = Record::link(&head, new.clone()).unwrap();
            inner.records.push(record.clone());
            written.push(record);
        }
        Ok(written)
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        let inner = self.inner.lock();
        let records = inner.records.iter().filter(|it| it.seq > after);
        Ok(records.take(limit).cloned().collect())
    }

    fn reader(&self) -> Result<Box<dyn JournalReader>, JournalError> {
        Ok(Box::new(self.clone()))
    }
}

impl JournalReader for World {
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        Journal::read(self, after, limit)
    }
}

pub(crate) fn anne() -> Origin {
    Origin { actor: "anne".to_owned(), reason: Some("friday".to_owned()) }
}

/// Waits until the view satisfies a condition; panics after 30 s.
pub(crate) async fn until(
    handle: &Handle,
    condition: impl Fn(&DeliveryView) -> bool,
) -> Arc<DeliveryView> {
    let mut view = handle.view();
    let wait = view.wait_for(|view| condition(view));
    let seen = timeout(Duration::from_secs(30), wait).await;
    let seen =
        seen.unwrap_or_else(|_| panic!("the condition never held: {:#?}", handle.view().borrow()));
    Arc::clone(&*seen.unwrap())
}

/// A flag without routing.
pub(super) fn flag() -> serde_json::Value {
    serde_json::json!({"variants": {"on": true}, "defaultVariant": "on"})
}

/// Sets a flag without routing.
pub(super) fn set_flag(key: &str) -> Command {
    FlagChange::Set { key: key.to_owned(), definition: flag() }.into()
}
