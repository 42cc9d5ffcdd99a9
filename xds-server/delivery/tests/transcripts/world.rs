//! One control plane without I/O: the state, the counts, the sidecars and the clock of a scenario.
//!
//! Every command is followed by the evaluation of all running releases, as in the controller. [`super::command`] has the
//! commands of operators, of CI and of the effects. The others are about what the control plane observes:
//!
//! | Command | Effect |
//! |---|---|
//! | `report SERVICE VERSION requests=N errors=N over_warning=N over_critical=N over_rollback=N` | counts, once |
//! | `traffic SERVICE VERSION …` | the same counts, each second from now on |
//! | `report-gap` | the reports had a gap, which ends now |
//! | `sidecars N [ack=auto\|manual]` | connected sidecars `edge-1`…; `auto`: each ACKs what it is sent, at once |
//! | `silent N` | the first `N` sidecars have the filter and do not report |
//! | `ack [RELEASE COUNT]` | without arguments: all sidecars ACK everything, also what they rejected |
//! | `nack NODE RESOURCE MESSAGE` | one sidecar rejects a resource |
//! | `wait DURATION` | advances the clock in ticks of one second; of ten minutes if it is more than an hour |
//! | `service SERVICE` | prints the service's versions |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_delivery::judge::history::{StableCounts, StableHistory};
use tidegate_delivery::judge::{Counted, Evidence, ReleaseJudge};
use tidegate_delivery::model::command::{Command, CommandContext};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::progress::{Nack, Observation, Progress};
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::reducer::{
    ReleaseContext, VersionWatches, close_expired_window, decide_command, decide_progress,
    decide_version_watch,
};
use tidegate_delivery::units::Timestamp;

use super::script::Arguments;
use super::sidecars::Sidecars;
use super::{command, configuration, render};

/// Monday, 2026-11-23T09:00:00Z.
const START: Timestamp = Timestamp(1_795_424_400_000);
/// How long reports must come without a gap before they are evidence.
const COVERAGE: Duration = Duration::from_secs(5);
/// Evaluations after each command and tick, as in the controller.
const MAX_PASSES: usize = 2;

/// An event with its time, its actor and the actor's reason.
pub(crate) struct Recorded {
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    pub(crate) event: Event,
}

/// See the module.
pub(crate) struct World {
    now: Timestamp,
    state: State,
    log: Vec<Recorded>,
    /// What each version has served since the start, and what it serves per second.
    counts: BTreeMap<(ServiceName, VersionName), Evidence>,
    traffic: BTreeMap<(ServiceName, VersionName), Evidence>,
    reports_since: Timestamp,
    judges: BTreeMap<ReleaseId, ReleaseJudge>,
    histories: BTreeMap<ServiceName, StableHistory>,
    watches: VersionWatches,
    progress: BTreeMap<ReleaseId, Progress>,
    sidecars: Sidecars,
    output: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            now: START,
            state: State::default(),
            log: Vec::new(),
            counts: BTreeMap::new(),
            traffic: BTreeMap::new(),
            reports_since: Timestamp(0),
            judges: BTreeMap::new(),
            histories: BTreeMap::new(),
            watches: VersionWatches::default(),
            progress: BTreeMap::new(),
            sidecars: Sidecars { connected: 2, acks_at_once: true, ..Sidecars::default() },
            output: String::new(),
        }
    }

    /// Every event so far.
    pub(crate) fn log(&self) -> &[Recorded] {
        &self.log
    }

    /// Executes one command, and returns its output.
    pub(crate) fn execute(&mut self, line: &str, input: &[&str]) -> String {
        let mut arguments = Arguments::parse(line);
        let verb = arguments.word();
        if !self.environment(&verb, &mut arguments) {
            let actor = arguments.option("as").unwrap_or_else(|| "anne".to_owned());
            let reason = arguments.option("reason");
            let command = command::parse(&self.state, &verb, &mut arguments, input);
            self.decide(&actor, reason.as_deref(), &command);
        }
        arguments.end();
        self.advance();
        for (id, progress) in &self.progress {
            if let Some(release) = self.state.release(id) {
                self.output.push_str(&render::evaluation(release, progress));
            }
        }
        std::mem::take(&mut self.output)
    }

    /// What happens around the control plane: counts, sidecars, time. False if the verb is another one.
    fn environment(&mut self, verb: &str, arguments: &mut Arguments) -> bool {
        match verb {
            "report" => {
                let version = (arguments.value(), arguments.value());
                add(self.counts.entry(version).or_default(), &evidence(arguments));
            }
            "traffic" => {
                let version = (arguments.value(), arguments.value());
                self.traffic.insert(version, evidence(arguments));
            }
            "report-gap" => self.reports_since = self.now,
            "sidecars" => {
                self.sidecars.connected = arguments.value();
                let ack = arguments.option("ack");
                self.sidecars.acks_at_once = ack.is_none_or(|ack| ack == "auto");
            }
            "silent" => self.sidecars.silent = arguments.value(),
            "ack" => match arguments.next_value() {
                Some(release) => {
                    self.sidecars.acked.insert(release, arguments.value());
                }
                None => {
                    self.sidecars.nacks.clear();
                    let all = self.sidecars.connected;
                    let running = self.state.running().map(|release| (release.id.clone(), all));
                    self.sidecars.acked.extend(running);
                }
            },
            "nack" => {
                let (node, resource) = (arguments.word(), arguments.word());
                let message = arguments.rest().join(" ");
                self.sidecars.nacks.push(Nack { node, resource, message });
            }
            "wait" => self.wait(configuration::duration(&arguments.word())),
            "service" => {
                let service = self.state.services.get(arguments.word().as_str()).unwrap();
                let previous = service.previous.as_ref().map_or("none", VersionName::as_str);
                let line = format!("stable={} previous={previous}\n", service.stable);
                self.output.push_str(&line);
            }
            _ => return false,
        }
        true
    }

    fn decide(&mut self, actor: &str, reason: Option<&str>, command: &Command) {
        let context = CommandContext { actor, reason, at: self.now, wall: self.now };
        match decide_command(&self.state, &context, command) {
            Ok((events, outcome)) => {
                if !outcome.changed {
                    self.output.push_str("unchanged\n");
                }
                self.commit(events, actor, reason);
            }
            Err(refusal) => self.output.push_str(&format!("rejected: {refusal}\n")),
        }
    }

    fn wait(&mut self, total: Duration) {
        let hour = Duration::from_secs(3600);
        let tick = Duration::from_secs(if total > hour { 600 } else { 1 });
        let end = self.now.after(total);
        while self.now < end {
            let before = self.now;
            self.now = self.now.after(tick).min(end);
            let seconds = self.now.since(before).as_secs();
            for (version, rate) in &self.traffic {
                let counts = self.counts.entry(version.clone()).or_default();
                (0..seconds).for_each(|_| add(counts, rate));
            }
            self.advance();
        }
    }

    /// Evaluates every running release, and again if that changed something.
    fn advance(&mut self) {
        for _ in 0..MAX_PASSES {
            let state = self.state.clone();
            let before = self.log.len();
            self.progress.clear();
            for group in state.running_groups() {
                let seen: Vec<_> =
                    group.iter().map(|(service, release)| self.observe(service, release)).collect();
                let contexts: Vec<_> = group
                    .iter()
                    .zip(&seen)
                    .map(|(&(service, release), seen)| ReleaseContext {
                        state: &state,
                        service,
                        release,
                        now: self.now,
                        wall: self.now,
                        seen,
                    })
                    .collect();
                let (events, progress) = decide_progress(&contexts);
                let ids = group.iter().map(|(_, release)| release.id.clone());
                self.progress.extend(ids.zip(progress));
                self.commit(events, "controller", None);
            }
            self.watch_versions(&state);
            let expired = state.services.values();
            let expired = expired.filter_map(|it| close_expired_window(it, self.now)).collect();
            self.commit(expired, "controller", None);
            if self.log.len() == before {
                break;
            }
        }
        let state = &self.state;
        self.progress.retain(|id, _| state.release(id).is_some_and(Release::is_running));
    }

    /// Alerts about versions that no release judges, by the counts of now.
    fn watch_versions(&mut self, state: &State) {
        self.watches.retain(state);
        let mut events = Vec::new();
        for (name, service) in &state.services {
            let counts =
                |version: &VersionName| self.counts.get(&(name.clone(), version.clone())).copied();
            let watched = self.watches.observe(self.now, service, counts);
            events.extend(decide_version_watch(state, service, self.now, &watched));
        }
        self.commit(events, "controller", None);
    }

    fn commit(&mut self, events: Vec<Event>, actor: &str, reason: Option<&str>) {
        for event in &events {
            self.state.apply(self.now, event).unwrap();
        }
        for event in events {
            let (at, actor, reason) = (self.now, actor.to_owned(), reason.map(str::to_owned));
            let recorded = Recorded { at, actor, reason, event };
            self.output.push_str(&render::event(START, &recorded));
            match &recorded.event {
                Event::ReleaseStarted { id, .. } | Event::StepEntered { id, .. } => {
                    self.sidecars.acked.remove(id);
                    self.enter_step(id);
                }
                Event::StepConverged { id, .. } => self.begin_evidence(id),
                Event::RolledBack { id, .. } | Event::Completed { id, .. } => {
                    self.judges.remove(id);
                }
                _ => {}
            }
            self.log.push(recorded);
        }
    }

    fn counted(&self, release: &Release) -> Counted {
        let of = |version: &VersionName| {
            let version = (release.service.clone(), version.clone());
            self.counts.get(&version).copied().unwrap_or_default()
        };
        Counted { candidate: of(&release.candidate), stable: of(&release.stable) }
    }

    fn enter_step(&mut self, id: &ReleaseId) {
        // A later event of the same commit may have ended the release.
        let Some(release) = self.state.release(id).filter(|it| it.is_running()) else { return };
        let (now, weight, counted) = (self.now, release.weight(), self.counted(release));
        let service = self.state.service_of(id).unwrap();
        let history = self.histories.entry(release.service.clone()).or_default();
        match self.judges.get_mut(id) {
            Some(judge) => judge.enter_step(now, weight, counted, history),
            None => {
                let guardrails = &service.spec.guardrails;
                let judge = ReleaseJudge::begin(now, weight, 1.0, counted, guardrails, history);
                self.judges.insert(id.clone(), judge);
            }
        }
    }

    fn begin_evidence(&mut self, id: &ReleaseId) {
        let Some(release) = self.state.release(id) else { return };
        let (now, counted) = (self.now, self.counted(release));
        let history = self.histories.entry(release.service.clone()).or_default();
        if let Some(judge) = self.judges.get_mut(id) {
            judge.begin_evidence(now, counted, history);
        }
    }

    fn observe(&mut self, service: &ServiceState, release: &Release) -> Observation {
        let (now, guardrails, counted) =
            (self.now, &service.spec.guardrails, self.counted(release));
        let history = self.histories.entry(release.service.clone()).or_default();
        let of_stable = StableCounts::of_failures(counted.stable.failures());
        history.observe(now, &release.stable, of_stable);
        let group = self.state.group_of(&release.id).map_or(1, |(_, it)| it.members.len());
        let judge = self.judges.get_mut(&release.id).unwrap();
        judge.observe(now, counted, guardrails, history, group);
        let Counted { candidate, stable } = judge.since_step();
        Observation {
            verdict: judge.verdict(guardrails, &release.alerts),
            candidate,
            stable,
            counted_for: judge.step_duration(),
            convergence: self.sidecars.convergence(&release.id),
            coverage_remaining: COVERAGE.saturating_sub(now.since(self.reports_since)),
        }
    }
}

fn evidence(arguments: &mut Arguments) -> Evidence {
    let mut evidence = Evidence::default();
    for (key, count) in arguments.options() {
        let count = count.parse().unwrap();
        *match key.as_str() {
            "requests" => &mut evidence.requests,
            "errors" => &mut evidence.errors,
            "over_warning" => &mut evidence.slow.warning,
            "over_critical" => &mut evidence.slow.critical,
            "over_rollback" => &mut evidence.slow.rollback,
            other => panic!("`{other}` is no count"),
        } = count;
    }
    evidence
}

fn add(sum: &mut Evidence, more: &Evidence) {
    sum.requests += more.requests;
    sum.errors += more.errors;
    sum.slow.warning += more.slow.warning;
    sum.slow.critical += more.slow.critical;
    sum.slow.rollback += more.slow.rollback;
}

/// The kinds of events, from serde's message about an unknown one: it names all that exist.
pub(crate) fn event_kinds() -> BTreeSet<String> {
    let error = serde_json::from_str::<Event>(r#"{"event":"?"}"#).unwrap_err().to_string();
    let (_, expected) = error.split_once("expected one of ").unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
