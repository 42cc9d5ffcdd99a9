//! One control plane without I/O: the state, the counts, the sidecars and the clock of a scenario.
//!
//! Every command is followed by the evaluation of all running releases, as in the controller. The commands:
//!
//! | Command | Effect |
//! |---|---|
//! | `configure [allow=KIND:NAME,…]` | applies the configuration in the input lines, see [`super::configuration`] |
//! | `register SERVICE VERSION PORT [blue\|green]` | registers a version |
//! | `start SERVICE VERSION [commit=ID] [committed_at=MS]` | starts a release, with the plan in the input lines if there are any |
//! | `start-group GROUP SERVICE:VERSION…` | starts the releases of a group |
//! | `promote\|promote-all\|pause\|resume\|abort\|rollback RELEASE` | the command of an operator; `group:NAME` for a group |
//! | `approve RELEASE ROLE` | approves the next step |
//! | `check SERVICE VERSION NAME passed\|failed [url=…]` | the result of a check |
//! | `signal SERVICE VERSION security\|business NAME bad\|ok` | a signal |
//! | `unquarantine SERVICE VERSION` | lifts a quarantine |
//! | `allow-flags SERVICE VERSION` | flags may select a version that was rolled back |
//! | `freeze [SERVICE]`, `unfreeze [SERVICE]` | freezes deployments |
//! | `health RELEASE [ENDPOINT=WHY…]` | the result of a health check: the unhealthy instances |
//! | `smoke-test RELEASE passed\|failed [TEXT]` | the result of the smoke tests; TEXT: `timeout`, `status 503`, or an error |
//! | `hook RELEASE NAME answered\|failed [TEXT]` | the end of a call of a hook |
//! | `dns SERVICE updated\|failed [TEXT]` | the result of a DNS update |
//! | `flags JSON`, `set-flag KEY [if=REVISION] JSON`, `switch-flag KEY on\|off`, `delete-flag KEY` | changes flags |
//! | `report SERVICE VERSION requests=N errors=N over_warning=N over_critical=N over_rollback=N` | counts, once |
//! | `traffic SERVICE VERSION …` | the same counts, each second from now on |
//! | `report-gap` | the reports had a gap, which ends now |
//! | `sidecars N [ack=auto\|manual]` | connected sidecars `edge-1`…; `auto`: each ACKs what it is sent, at once |
//! | `silent N` | the first `N` sidecars have the filter and do not report |
//! | `ack [RELEASE COUNT]` | without arguments: all sidecars ACK everything, also what they rejected |
//! | `nack NODE RESOURCE MESSAGE` | one sidecar rejects a resource |
//! | `wait DURATION` | advances the clock in ticks of one second; of ten minutes if it is more than an hour |
//! | `service SERVICE` | prints the service's versions |
//!
//! Commands of operators and of CI take `as=ACTOR` (`anne` if absent) and `reason=TEXT`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::judge::{Counted, Evidence, ReleaseJudge};
use tidegate_delivery::model::catalogue::VersionSpec;
use tidegate_delivery::model::command::{Command, CommandContext, ReleaseCommand};
use tidegate_delivery::model::commit::Commit;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::failure::{RequestFailure, SmokeTestFailure};
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::model::group::Member;
use tidegate_delivery::model::health::{InstanceHealth, UnhealthyInstance};
use tidegate_delivery::model::progress::{Convergence, MAX_NAMED, Nack, Observation, Progress};
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::signals::Signal;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::{HookName, ReleaseId, ServiceName, VersionName};
use tidegate_delivery::reducer::{
    ReleaseContext, close_expired_window, decide_command, decide_progress,
};
use tidegate_delivery::units::Timestamp;

use super::script::Arguments;
use super::{configuration, render};

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
    progress: BTreeMap<ReleaseId, Progress>,
    sidecars: Sidecars,
    output: String,
}

#[derive(Default)]
struct Sidecars {
    connected: u32,
    acks_at_once: bool,
    /// Without `acks_at_once`: how many have the newest configuration of a release.
    acked: BTreeMap<ReleaseId, u32>,
    nacks: Vec<Nack>,
    silent: u32,
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
            let command = self.command(&verb, &mut arguments, input);
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

    fn command(&self, verb: &str, arguments: &mut Arguments, input: &[&str]) -> Command {
        match verb {
            "configure" => {
                let configuration::Configuration { fleets, services, freeze_windows } =
                    configuration::parse(input);
                let version = Version { hash: "0123456789ab".to_owned(), source: Source::File };
                let allow = arguments.option("allow");
                let allow = allow.iter().flat_map(|it| it.split(',')).map(|it| it.parse().unwrap());
                let allow = allow.collect();
                Command::ApplyConfiguration { version, fleets, services, freeze_windows, allow }
            }
            "register" => Command::RegisterVersion {
                service: arguments.value(),
                version: arguments.value(),
                spec: VersionSpec {
                    endpoints: configuration::endpoints(arguments.value()),
                    istio: None,
                    environment: arguments
                        .next_value::<String>()
                        .map(|place| serde_json::from_value(place.into()).unwrap()),
                },
            },
            "start" => {
                let (service, version) = (arguments.value(), arguments.value());
                let at = arguments.option("committed_at").map(|at| Timestamp(at.parse().unwrap()));
                let commit = arguments.option("commit").map(|id| Commit { id: Some(id), at });
                let plan = (!input.is_empty()).then(|| configuration::plan(input));
                Command::StartRelease { service, version, plan, commit }
            }
            "start-group" => Command::StartGroup {
                group: arguments.value(),
                members: arguments.rest().iter().map(|it| member(it)).collect(),
                plan: None,
            },
            "promote" => operator(arguments, ReleaseCommand::Promote { all: false }),
            "promote-all" => operator(arguments, ReleaseCommand::Promote { all: true }),
            "pause" => operator(arguments, ReleaseCommand::Pause),
            "resume" => operator(arguments, ReleaseCommand::Resume),
            "abort" => operator(arguments, ReleaseCommand::Abort),
            "rollback" => operator(arguments, ReleaseCommand::Rollback),
            "approve" => {
                let release = arguments.value();
                Command::Release(release, ReleaseCommand::Approve { role: arguments.value() })
            }
            "check" => Command::ReportCheck {
                service: arguments.value(),
                version: arguments.value(),
                check: arguments.value(),
                passed: result(arguments, "passed").is_ok(),
                url: arguments.option("url"),
            },
            "signal" => {
                let (service, version) = (arguments.value(), arguments.value());
                let kind = serde_json::from_value(arguments.word().into()).unwrap();
                let name = arguments.value();
                let status = serde_json::from_value(arguments.word().into()).unwrap();
                Command::Signal { service, signal: Signal { kind, version, name, status } }
            }
            "unquarantine" => {
                Command::Unquarantine { service: arguments.value(), version: arguments.value() }
            }
            "allow-flags" => {
                Command::AllowFlags { service: arguments.value(), version: arguments.value() }
            }
            "freeze" => Command::FreezeDeployments(arguments.next_value()),
            "unfreeze" => Command::UnfreezeDeployments(arguments.next_value()),
            "health" => {
                let release = arguments.value();
                let unhealthy = arguments.options().into_iter();
                let unhealthy = unhealthy.map(|(endpoint, error)| UnhealthyInstance {
                    endpoint,
                    failure: failure(&error),
                });
                Command::HealthChecked { release, health: InstanceHealth::of(unhealthy.collect()) }
            }
            "smoke-test" => {
                let release = arguments.value();
                let url = "http://127.0.0.1:9002/healthz".to_owned();
                let result = result(arguments, "passed")
                    .map_err(|error| SmokeTestFailure { url, failure: failure(&error) });
                Command::SmokeTested { release, result }
            }
            "hook" => {
                let (release, hook): (ReleaseId, HookName) = (arguments.value(), arguments.value());
                let result = result(arguments, "answered");
                let service = self.state.service_of(&release).unwrap();
                let on = service.spec.hooks.iter().find(|it| it.name == hook).unwrap().on;
                Command::HookEnded { release, hook, on, attempts: 1, result }
            }
            "dns" => {
                let service: ServiceName = arguments.value();
                let records = self.state.services.get(&service).unwrap().desired_records().unwrap();
                let result = result(arguments, "updated").map(|()| records);
                Command::DnsChecked { service, result }
            }
            "flags" => {
                let document = serde_json::from_str(input.first().unwrap()).unwrap();
                FlagChange::Replace(document).into()
            }
            "set-flag" => Command::ChangeFlags {
                change: FlagChange::Set {
                    key: arguments.word(),
                    definition: serde_json::from_str(input.first().unwrap()).unwrap(),
                },
                if_revision: arguments.option("if").map(|it| it.parse().unwrap()),
            },
            "switch-flag" => {
                let key = arguments.word();
                let enabled = arguments.word() == "on";
                FlagChange::Switch { key, enabled }.into()
            }
            "delete-flag" => FlagChange::Delete { key: arguments.word() }.into(),
            other => panic!("`{other}` is no command"),
        }
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
        let Evidence { requests, errors, .. } = counted.stable;
        let history = self.histories.entry(release.service.clone()).or_default();
        history.observe(now, &release.stable, Units { bad: errors, all: requests });
        let group = self.state.group_of(&release.id).map_or(1, |(_, it)| it.members.len());
        let judge = self.judges.get_mut(&release.id).unwrap();
        judge.observe(now, counted, guardrails, history, group);
        let Counted { candidate, stable } = judge.since_step();
        Observation {
            verdict: judge.verdict(guardrails, &release.alerts),
            candidate,
            stable,
            convergence: self.sidecars.convergence(&release.id),
            coverage_remaining: COVERAGE.saturating_sub(now.since(self.reports_since)),
        }
    }
}

impl Sidecars {
    fn convergence(&self, id: &ReleaseId) -> Convergence {
        let nacked = u32::try_from(self.nacks.len()).unwrap();
        let able = self.connected.saturating_sub(nacked);
        let acked = if self.acks_at_once { able } else { self.acked.get(id).copied().unwrap_or(0) };
        let acked = acked.min(able);
        let nodes = (1..=self.connected).map(|number| format!("edge-{number}"));
        let lagging = nodes.filter(|node| self.nacks.iter().all(|nack| nack.node != *node));
        Convergence {
            acked,
            nacked,
            connected: self.connected,
            nacks: self.nacks.clone(),
            lagging: lagging.skip(acked as usize).take(MAX_NAMED).collect(),
            silent: self.silent,
            silent_nodes: (1..=self.silent)
                .map(|it| format!("edge-{it}"))
                .take(MAX_NAMED)
                .collect(),
            ..Convergence::default()
        }
    }
}

/// `SERVICE:VERSION`.
fn member(text: &str) -> Member {
    let (service, version) = text.split_once(':').unwrap();
    Member { service: service.parse().unwrap(), version: version.parse().unwrap(), commit: None }
}

/// A command of an operator, for a release or for `group:NAME`.
fn operator(arguments: &mut Arguments, command: ReleaseCommand) -> Command {
    let subject = arguments.word();
    match subject.strip_prefix("group:") {
        Some(group) => Command::Group(group.parse().unwrap(), command),
        None => Command::Release(subject.parse().unwrap(), command),
    }
}

/// `Ok` for the given word, and the text after `failed` as the error.
fn result(arguments: &mut Arguments, success: &str) -> Result<(), String> {
    match arguments.word() {
        word if word == success => Ok(()),
        word if word == "failed" => Err(arguments.rest().join(" ")),
        other => panic!("`{other}` is neither `{success}` nor `failed`"),
    }
}

/// `timeout`, `status 503` (expected 200), or the text of a transport error.
fn failure(text: &str) -> RequestFailure {
    match text.strip_prefix("status ") {
        Some(status) => {
            RequestFailure::UnexpectedStatus { status: status.parse().unwrap(), expected: 200 }
        }
        None if text == "timeout" => RequestFailure::Timeout,
        None => RequestFailure::transport(text),
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
