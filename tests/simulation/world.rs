//! The virtual clock and everything that runs on it: the control plane, the sidecars, their traffic and reports.
//!
//! [`World::step`] advances the clock by 100 ms: messages arrive, requests are served, reports are sent, and the engine evaluates.
//! Faults are drawn elsewhere. Everything that happens goes into the transcript, whose hash identifies the run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tidegate::auth::peer::ClientKey;
use tidegate::xds::fleet::ReceivedReport;
use tidegate_delivery::fixtures::name;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;
use tidegate_xds::kind::Mode;

use super::configuration::{File, SERVICES};
use super::control_plane::{ControlPlane, Time};
use super::disk::Disk;
use super::random::Random;
use super::rules::Rules;
use super::sidecar::Sidecar;
use super::stream::{Stream, latest};
use super::traffic::Reporter;

pub(crate) const TICK: u64 = 100;
/// Requests of each service in a tick, at each sidecar.
const REQUESTS: u64 = 10;
/// Lines of the transcript that a failure prints.
const SHOWN: usize = 40;

pub(crate) struct World {
    seed: u64,
    pub(crate) random: Random,
    time: Time,
    disk: Disk,
    pub(crate) file: File,
    pub(crate) control_plane: Option<ControlPlane>,
    pub(crate) sidecars: Vec<Sidecar>,
    reporters: Vec<Reporter>,
    /// The last report of each sidecar that this run of the control plane has counted.
    ingested: Vec<u64>,
    pub(crate) rules: Rules,
    /// Versions half of whose requests fail.
    pub(crate) bad: BTreeSet<(String, String)>,
    /// When the control plane starts again, and when each sidecar connects.
    pub(crate) starts_at: u64,
    pub(crate) connects_at: Vec<u64>,
    /// No report arrives before.
    pub(crate) reports_lost_until: u64,
    /// Reports and acknowledgements that are lost, in a thousand.
    pub(crate) loss: u64,
    transcript: Sha256,
    lines: VecDeque<String>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let sidecar = |index| {
            let mode = if random.chance(500) { Mode::Delta } else { Mode::Sotw };
            Sidecar::new(format!("envoy-{index}"), mode)
        };
        let sidecars: Vec<Sidecar> = (1..=3).map(sidecar).collect();
        Self {
            seed,
            random,
            time: Arc::default(),
            disk: Disk::default(),
            file: File::first(),
            control_plane: None,
            reporters: sidecars.iter().map(|_| Reporter::default()).collect(),
            ingested: vec![0; sidecars.len()],
            connects_at: vec![0; sidecars.len()],
            sidecars,
            rules: Rules::default(),
            bad: BTreeSet::new(),
            starts_at: 0,
            reports_lost_until: 0,
            loss: 0,
            transcript: Sha256::new(),
            lines: VecDeque::new(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> State {
        self.disk.state()
    }

    pub(crate) fn note(&mut self, line: &str) {
        let line = format!("{:>7} {line}", self.now());
        self.transcript.update(&line);
        if self.lines.len() == SHOWN {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Hash of the transcript, which identifies the run.
    pub(crate) fn hash(&self) -> String {
        hex::encode(self.transcript.clone().finalize())
    }

    /// Advances the clock by one tick.
    pub(crate) fn step(&mut self) {
        self.time.fetch_add(TICK, Ordering::Relaxed);
        self.start();
        self.connect();
        for index in 0..self.sidecars.len() {
            self.serve_stream(index);
            self.deliver(index);
            self.send_requests(index);
            self.send_report(index);
        }
        self.smoke_test();
        if let Some(control_plane) = &self.control_plane {
            control_plane.ack_tracker.update_silent(Duration::ZERO);
        }
        self.act(|control_plane, _| control_plane.advance());
        self.check_bad();
    }

    /// Runs `act` on the control plane, checks the records that it appended, and ends the control plane if the disk crashed.
    pub(crate) fn act(&mut self, act: impl FnOnce(&mut ControlPlane, &File)) {
        let Some(mut control_plane) = self.control_plane.take() else { return };
        act(&mut control_plane, &self.file);
        self.check_records();
        if self.disk.has_crashed() {
            self.crash(0);
            return;
        }
        assert!(
            *control_plane.state() == self.state(),
            "the view differs from the fold of the journal"
        );
        self.control_plane = Some(control_plane);
    }

    pub(crate) fn command(&mut self, command: &Command) {
        let mut result = String::new();
        self.act(|control_plane, _| {
            result = match control_plane.command(command) {
                Ok(outcome) => outcome.to_string(),
                Err(error) => format!("rejected: {error}"),
            };
        });
        self.note(&result);
    }

    /// The control plane ends now, or with its next append, and every stream with it.
    pub(crate) fn crash_at_next_append(&mut self, crash: super::disk::Crash) {
        self.note(&format!("crash armed: {crash:?}"));
        self.disk.crash_at_next_append(crash);
    }

    pub(crate) fn crash(&mut self, down: u64) {
        self.note("crash");
        self.control_plane = None;
        self.starts_at = self.now() + down;
        for index in 0..self.sidecars.len() {
            self.cut(index, 0);
        }
    }

    pub(crate) fn cut(&mut self, index: usize, down: u64) {
        self.sidecars[index].stream = None;
        self.connects_at[index] = self.now() + down;
    }

    fn start(&mut self) {
        if self.control_plane.is_some() || self.now() < self.starts_at {
            return;
        }
        self.disk.restart();
        self.disk.verify();
        self.rules.restarted();
        self.ingested.fill(0);
        self.control_plane = ControlPlane::start(&self.file, &self.disk, &self.time);
        self.note("control plane started");
        self.act(|_, _| {});
    }

    fn connect(&mut self) {
        let Some(control_plane) = &self.control_plane else { return };
        let now = self.time.load(Ordering::Relaxed);
        for (sidecar, at) in self.sidecars.iter_mut().zip(&self.connects_at) {
            if sidecar.stream.is_none() && now >= *at {
                let stream = Stream::open(control_plane, &sidecar.name, sidecar.mode);
                sidecar.connect(stream, now, self.random.below(200));
            }
        }
    }

    fn serve_stream(&mut self, index: usize) {
        let (now, delay) = (self.now(), self.random.below(250));
        let Some(control_plane) = &self.control_plane else { return };
        if let Some(stream) = &mut self.sidecars[index].stream {
            stream.serve(control_plane, now, delay);
        }
    }

    fn deliver(&mut self, index: usize) {
        let now = self.now();
        loop {
            let at = now + self.random.below(250);
            let sidecar = &mut self.sidecars[index];
            let Some((response, moved)) = sidecar.deliver(now, at) else { return };
            let node = sidecar.name.clone();
            moved.iter().for_each(|moved| self.rules.moved(&node, moved));
            let (kind, version) = (response.kind, &response.version);
            self.note(&format!("{node} receives {kind} {} {version}", response.nonce));
        }
    }

    fn send_requests(&mut self, index: usize) {
        let sidecar = &self.sidecars[index];
        let Some(filter) = sidecar.filter.clone() else { return };
        let converged = self.control_plane.as_ref().filter(|control_plane| {
            let stream = sidecar.stream.as_ref();
            !sidecar.has_nacked() && stream.is_some_and(|it| it.has_newest(control_plane))
        });
        let state = converged.map(ControlPlane::state);
        let mut served = BTreeMap::new();
        for (service, host) in sidecar.routes.values().flatten() {
            let config = filter.services.iter().find(|it| it.name == *service);
            for _ in 0..REQUESTS {
                let bucket = u32::try_from(self.random.below(1_000_000)).unwrap();
                let versions = config.map_or(&[][..], |it| &it.versions);
                let pinned = !versions.is_empty() && self.random.chance(50);
                let pin = pinned.then(|| self.random.pick(versions).as_str());
                let cluster = host.choose(pin, bucket);
                let (_, version) = cluster.split_once('/').unwrap();
                if let Some(state) = &state {
                    may_serve(state, service, version, pin.is_some());
                }
                let release = config.map_or("", |it| &it.release);
                let bad = self.bad.contains(&(service.clone(), version.to_owned()));
                let failed = bad && self.random.chance(500);
                self.reporters[index].count(service, version, release, failed);
                self.rules.served(service, version);
                *served.entry(cluster.to_owned()).or_insert(0) += 1;
            }
        }
        self.note(&format!("{} served {served:?}", self.sidecars[index].name));
    }

    /// Every fifth tick: reports arrive and are acknowledged at once, or either is lost.
    fn send_report(&mut self, index: usize) {
        let now = self.now();
        if !(now / TICK + index as u64).is_multiple_of(5) {
            return;
        }
        let report = self.reporters[index].report(&self.sidecars[index].name);
        let lost = now < self.reports_lost_until || self.random.chance(self.loss);
        let Some(control_plane) = self.control_plane.as_ref().filter(|_| !lost) else { return };
        let state = control_plane.state();
        let before: BTreeMap<ReleaseId, u64> = counted(control_plane, &state);
        let repeated = report.sequence <= self.ingested[index];
        control_plane.ack_tracker.record_report(&ReceivedReport {
            fleet: &report.fleet,
            node: &report.sender.node,
            filter_version: None,
            is_current: false,
        });
        let client = ClientKey::from_address(Ipv4Addr::LOCALHOST.into());
        let ingested = control_plane.telemetry.ingest(report, &client, Timestamp(now)).unwrap();
        let sequence = ingested.acknowledged;
        self.ingested[index] = sequence;
        self.rules.reported(now);
        for (id, requests) in counted(control_plane, &state) {
            let new = requests - before[&id];
            assert!(!repeated || new == 0, "{id}: report {sequence} is counted twice");
            self.rules.counted(id.as_str(), new);
        }
        if !self.random.chance(self.loss) {
            self.reporters[index].acknowledged(sequence);
        }
    }

    fn smoke_test(&mut self) {
        let state = self.state();
        let untested = |it: &&Release| matches!(it.phase, Phase::Preparing { tested: false, .. });
        let ids: Vec<_> = state.running().filter(untested).map(|it| it.id.clone()).collect();
        for release in ids {
            self.command(&Command::SmokeTested { release, result: Ok(()) });
        }
    }

    fn check_records(&mut self) {
        let now = self.now();
        for record in self.disk.after(self.rules.checked) {
            self.rules.checked += 1;
            let sidecars = &self.sidecars;
            self.rules.record(&record, now, |release, since| applied(sidecars, release, since));
            self.note(&format!("{} {} {:?}", record.seq, record.event.event().kind(), record.hash));
        }
    }

    fn check_bad(&self) {
        if self.control_plane.is_none() {
            return;
        }
        for release in self.state().running() {
            let key = (release.service.to_string(), release.candidate.to_string());
            if self.bad.contains(&key) {
                self.rules.bad(&release.id);
            }
        }
    }

    /// The first difference between a sidecar and the newest publication; `None` after convergence.
    pub(crate) fn difference(&self) -> Option<String> {
        let Some(control_plane) = &self.control_plane else {
            return Some("no control plane".to_owned());
        };
        let snapshot = latest(control_plane);
        self.sidecars.iter().find_map(|sidecar| match &sidecar.stream {
            Some(stream) if stream.has_newest(control_plane) => sidecar.difference(&snapshot),
            _ => Some(format!("{} has not acknowledged everything", sidecar.name)),
        })
    }

    pub(crate) fn running(&self, service: &str) -> Option<Release> {
        self.state().services.get(service)?.running().cloned()
    }
}

/// The requests that are counted of each running release's candidate.
fn counted(control_plane: &ControlPlane, state: &State) -> BTreeMap<ReleaseId, u64> {
    let count = |release: &Release| {
        let (service, id): (&ServiceName, _) = (&release.service, release.id.clone());
        let candidate: &VersionName = &release.candidate;
        let guardrails = &state.services[service].spec.guardrails;
        (id, control_plane.telemetry.evidence(&release.id, service, candidate, guardrails).requests)
    };
    state.running().map(count).collect()
}

/// The lowest weight of a release's candidate in the routes of the sidecars that have been connected since a time; `None`
/// if there are none.
fn applied(sidecars: &[Sidecar], release: &Release, since: u64) -> Option<u32> {
    let connected = sidecars.iter().filter(|it| it.connected_at <= since && it.stream.is_some());
    let cluster = format!("{}/{}", release.service, release.candidate);
    let weight = |sidecar: &Sidecar| {
        let hosts = sidecar.routes.values().filter_map(|it| it.get(release.service.as_str()));
        let candidates = hosts.map(|host| {
            host.candidate().filter(|(name, _)| *name == cluster).map_or(0, |(_, weight)| *weight)
        });
        candidates.min().unwrap_or_default()
    };
    connected.map(weight).min()
}

/// A sidecar that has the newest configuration serves stable and the running candidate, and versions that a flag may pin.
fn may_serve(state: &State, service: &str, version: &str, pinned: bool) {
    let Some(service) = state.services.get(&name::<ServiceName>(service)) else { return };
    let version: VersionName = name(version);
    if service.in_use(&version) {
        return;
    }
    assert!(pinned, "{version} of {} serves, but is not in use", service.spec.name);
    assert!(!service.quarantined.contains_key(&version), "{version} serves, but is quarantined");
    assert!(!service.rolled_back.contains_key(&version), "{version} serves, but was rolled back");
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        println!("the last lines of seed {}:", self.seed);
        self.lines.iter().for_each(|line| println!("{line}"));
        println!(
            "\nreplay: TIDEGATE_SEED={} cargo test -p tidegate --test simulation -- --nocapture",
            self.seed
        );
    }
}

/// Every service that each configuration has.
pub(crate) fn services() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter()
}
