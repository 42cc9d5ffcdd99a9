//! A world that tests turn as they like: its time, its sidecars, its counts, its disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Counts, Handle, Origin, Parts, Sidecars, View, spawn};
use crate::clock::Clock;
use crate::journal::{Head, Journal, JournalError, JournalReader, NewRecord, Record, Sqlite};
use tidegate_delivery::fixtures::{nack, order, product};
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::progress::Convergence;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::{Ppm, Timestamp};
use tidegate_xds::mesh::Mesh;

struct Things {
    mesh: Mesh,
    time: u64,
    /// The last serial that one of the two sidecars has, if it lags.
    lagging_at: Option<u64>,
    /// Whether one of them refuses its routes.
    refuses: bool,
    /// What `order` wanted, each time something was published.
    published: Vec<(String, Option<Ppm>)>,
    counts: BTreeMap<String, Evidence>,
    disk_full: bool,
    disk_hangs: bool,
    records: Vec<Record>,
}

impl Default for Things {
    fn default() -> Self {
        Self {
            mesh: Mesh::new("filter.wasm".to_owned(), Vec::new()),
            time: 0,
            lagging_at: None,
            refuses: false,
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
    things: Arc<Mutex<Things>>,
    wake: Arc<Notify>,
}

impl World {
    /// A controller of the usual services, with a journal in this world.
    pub(crate) fn start(&self) -> Handle {
        spawn(self.parts(Box::new(self.clone()))).unwrap()
    }

    /// One with a journal on disk.
    pub(crate) fn start_in(&self, directory: &Path) -> Handle {
        spawn(self.parts(Box::new(Sqlite::open(directory).unwrap()))).unwrap()
    }

    pub(crate) fn parts(&self, journal: Box<dyn Journal>) -> Parts {
        let things = Arc::clone(&self.things);
        Parts {
            journal,
            sidecars: Box::new(self.clone()),
            counts: Box::new(self.clone()),
            clock: Clock::new(move || Timestamp(things.lock().time)),
            version: Version { hash: "first".to_owned(), source: Source::File },
            mesh: self.mesh(),
            services: vec![order(), product()],
            freeze_windows: Vec::new(),
            flags: None,
            wake: Arc::clone(&self.wake),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.things.lock().time += u64::try_from(time.as_millis()).unwrap();
        self.wake.notify_one();
    }

    pub(crate) fn serve(&self, version: &str, requests: u64, errors: u64) {
        let mut things = self.things.lock();
        let counts = things.counts.entry(version.to_owned()).or_default();
        counts.requests += requests;
        counts.errors += errors;
        drop(things);
        self.wake.notify_one();
    }

    pub(crate) fn lag(&self, lagging: bool) {
        let mut things = self.things.lock();
        things.lagging_at = lagging.then(|| things.published.len() as u64);
        drop(things);
        self.wake.notify_one();
    }

    pub(crate) fn refuse(&self, refuses: bool) {
        self.things.lock().refuses = refuses;
        self.wake.notify_one();
    }

    pub(crate) fn fill_disk(&self, full: bool) {
        self.things.lock().disk_full = full;
    }

    pub(crate) fn wait_for_disk(&self) {
        while self.things.lock().disk_hangs {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn hang_disk(&self, hangs: bool) {
        self.things.lock().disk_hangs = hangs;
    }

    pub(crate) fn published(&self) -> Vec<(String, Option<Ppm>)> {
        self.things.lock().published.clone()
    }

    /// The mesh that the next publication has.
    pub(crate) fn mesh(&self) -> Mesh {
        self.things.lock().mesh.clone()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.things.lock().records.clone()
    }
}

impl Sidecars for World {
    fn publish(&mut self, mesh: &Mesh, state: &State) -> u64 {
        self.things.lock().mesh = mesh.clone();
        let split = state.services["order"].split();
        let wanted = (split.stable.to_string(), split.candidate.map(|it| it.1));
        let published = &mut self.things.lock().published;
        published.push(wanted);
        published.len() as u64
    }

    fn convergence(&self, serial: u64) -> Convergence {
        let things = self.things.lock();
        let all = Convergence { acked: 2, connected: 2, ..Convergence::default() };
        if things.refuses {
            return Convergence { acked: 1, nacked: 1, nacks: vec![nack()], ..all };
        }
        if things.lagging_at.is_some_and(|at| at < serial) {
            return Convergence { acked: 1, lagging: vec!["edge-2".to_owned()], ..all };
        }
        all
    }
}

impl Counts for World {
    fn evidence(
        &self,
        _: &ReleaseId,
        _: &ServiceName,
        version: &VersionName,
        _: &Guardrails,
    ) -> Evidence {
        let things = self.things.lock();
        things.counts.get(version.as_str()).copied().unwrap_or_default()
    }

    fn unbroken(&self, _: Timestamp) -> Duration {
        Duration::MAX
    }
}

impl Journal for World {
    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Record>, JournalError> {
        self.wait_for_disk();
        let mut things = self.things.lock();
        if things.disk_full {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            return Err(rusqlite::Error::SqliteFailure(full, None).into());
        }
        let mut written = Vec::new();
        for new in records {
            let last = things.records.last();
            let head = last.map_or_else(Head::genesis, |it| Head { seq: it.seq, hash: it.hash });
            let record = Record::link(&head, new.clone()).unwrap();
            things.records.push(record.clone());
            written.push(record);
        }
        Ok(written)
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, JournalError> {
        let things = self.things.lock();
        let records = things.records.iter().filter(|it| it.seq > after);
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

/// Waits for the view to be so; for ever is an error.
pub(crate) async fn until(handle: &Handle, so: impl Fn(&View) -> bool) -> Arc<View> {
    let mut view = handle.view();
    let wait = view.wait_for(|view| so(view));
    let seen = timeout(Duration::from_secs(30), wait).await;
    let seen = seen.unwrap_or_else(|_| panic!("never so: {:#?}", handle.view().borrow()));
    Arc::clone(&*seen.unwrap())
}
