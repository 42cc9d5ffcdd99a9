//! Services, releases and observations for tests.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a wrong fixture fails the test that uses it"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use crate::judge::guardrails::{Guardrails, Inconclusive};
use crate::judge::{Evidence, Finding, Guardrail, Level, Limit, Verdict};
use crate::model::catalogue::{Endpoint, Environment, Environments, ServiceSpec, VersionSpec};
use crate::model::change::Loss;
use crate::model::command::{Command, CommandContext, Outcome, Refusal, ReleaseCommand};
use crate::model::configuration::{Source, Version};
use crate::model::dns::Dns;
use crate::model::event::Event;
use crate::model::failure::{RequestFailure, SmokeTestFailure};
use crate::model::freeze::FreezeWindow;
use crate::model::hook::{Hook, Moment};
use crate::model::mesh::Fleet;
use crate::model::plan::{
    ConvergenceThreshold, OnFail, Plan, ROLLBACK_WINDOW, SmokeTest, Step, Strategy,
};
use crate::model::progress::{Convergence, Nack, Observation, Progress};
use crate::model::release::Release;
use crate::model::requirements::{Approvals, Requirements};
use crate::model::state::State;
use crate::reducer::{ReleaseContext, decide_command, decide_progress};
use crate::units::{Ppm, Timestamp};

/// Parses a name.
pub fn name<T: FromStr>(name: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    name.parse().unwrap()
}

/// One endpoint at a port of 127.0.0.1.
pub fn at(port: u16) -> Vec<Endpoint> {
    vec![Endpoint { host: "127.0.0.1".to_owned(), port }]
}

pub fn version(port: u16, environment: Option<Environment>) -> VersionSpec {
    VersionSpec { endpoints: at(port), istio: None, environment, commit: None }
}

/// The weight of a canary in its last step, at the rate of requests of [`healthy`].
pub const WATCHED: Ppm = Ppm::percent(95);

/// Steps of ten seconds and ten requests each, watched for a minute.
pub fn canary(percents: &[u32]) -> Plan {
    let step = |percent: &u32| Step {
        weight: Ppm::percent(*percent),
        time: Duration::from_secs(10),
        min_requests: 10,
        approval: None,
    };
    Plan {
        strategy: Strategy::Canary,
        steps: percents.iter().map(step).collect(),
        watch: Duration::from_secs(60),
        holdback: None,
        smoke_tests: Vec::new(),
        health: None,
        convergence: ConvergenceThreshold::default(),
        requirements: Requirements::default(),
        on_fail: OnFail::default(),
        rollback_window: ROLLBACK_WINDOW,
        rollback_after_completion: Duration::ZERO,
    }
}

pub fn blue_green() -> Plan {
    Plan {
        strategy: Strategy::BlueGreen,
        smoke_tests: vec![SmokeTest { path: "/healthz".to_owned(), expect: 200 }],
        ..canary(&[100])
    }
}

/// A canary service with the versions v1 (stable) and v2.
pub fn order() -> ServiceSpec {
    ServiceSpec {
        name: name("order"),
        hosts: vec!["order.local".parse().unwrap()],
        identity: Vec::new(),
        istio: None,
        versions: BTreeMap::from([
            (name("v1"), version(9101, None)),
            (name("v2"), version(9102, None)),
        ]),
        stable: name("v1"),
        environments: None,
        plan: canary(&[5, 50, 100]),
        // Tests have few requests.
        guardrails: Guardrails { inconclusive: Inconclusive::Proceed, ..Guardrails::default() },
        excluded: Vec::new(),
        hooks: Vec::new(),
        dns: None,
    }
}

/// The same with requirements: a check, two approvals before the first step and one before the second.
pub fn order_with_requirements() -> ServiceSpec {
    let approvals =
        |count| Some(Approvals { count, role: name("manager"), expire: Duration::from_secs(3600) });
    let mut spec = order();
    spec.plan.requirements =
        Requirements { checks: BTreeSet::from([name("tests")]), approvals: approvals(2) };
    spec.plan.steps[1].approval = approvals(1);
    spec
}

/// A blue/green service: v1 is stable in blue, green is empty.
pub fn product() -> ServiceSpec {
    ServiceSpec {
        name: name("product"),
        hosts: vec!["product.local".parse().unwrap()],
        versions: BTreeMap::from([(name("v1"), version(9201, Some(Environment::Blue)))]),
        environments: Some(Environments { blue: at(9201), green: at(9202), istio: None }),
        plan: blue_green(),
        ..order()
    }
}

pub fn hook(called: &str, on: Moment, blocking: bool) -> Hook {
    Hook {
        name: name(called),
        on,
        url: "http://127.0.0.1/".to_owned(),
        timeout: Duration::from_secs(1),
        retries: 0,
        secret: None,
        blocking,
    }
}

/// The DNS configuration of `product`.
pub fn dns() -> Dns {
    Dns {
        zone: "example.org.".to_owned(),
        name: "product.example.org.".to_owned(),
        server: "127.0.0.1:53".parse().unwrap(),
        ttl: Duration::from_secs(30),
        tsig: None,
        records: None,
    }
}

pub fn start(service: &str, version: &str) -> Command {
    Command::StartRelease {
        service: name(service),
        version: name(version),
        plan: None,
        commit: None,
    }
}

pub fn verb(release: &str, verb: ReleaseCommand) -> Command {
    Command::Release(name(release), verb)
}

pub const fn command_context(actor: &str, at: Timestamp) -> CommandContext<'_> {
    CommandContext { actor, reason: None, at, wall: at }
}

/// Decides and folds a command of `anne`.
pub fn run(state: &mut State, now: Timestamp, command: &Command) -> Result<Outcome, Refusal> {
    run_as(state, &command_context("anne", now), command)
}

/// Decides and folds a command.
pub fn run_as(
    state: &mut State,
    command_context: &CommandContext<'_>,
    command: &Command,
) -> Result<Outcome, Refusal> {
    let now = command_context.at;
    let (events, outcome) = decide_command(state, command_context, command)?;
    for event in &events {
        state.apply(now, event).unwrap();
    }
    Ok(outcome)
}

/// The state after the declaration of both services.
pub fn declared() -> State {
    let mut state = State::default();
    let catalogue = configuration(vec![order(), product()], Vec::new());
    run(&mut state, Timestamp(0), &catalogue).unwrap();
    state
}

/// A configuration. The hash is always the same.
pub fn configuration(services: Vec<ServiceSpec>, freeze_windows: Vec<FreezeWindow>) -> Command {
    let version = Version { hash: "of a test".to_owned(), source: Source::File };
    let (fleets, allow) = (vec![fleet()], BTreeSet::new());
    Command::ApplyConfiguration { version, fleets, services, freeze_windows, allow }
}

/// A fleet that routes to every service, in listeners of another control plane.
pub fn fleet() -> Fleet {
    Fleet::new(name("demo"), Vec::new())
}

/// The same command, which may take this away.
pub fn allowing(mut command: Command, losses: &[&str]) -> Command {
    if let Command::ApplyConfiguration { allow, .. } = &mut command {
        allow.extend(losses.iter().map(|it| name::<Loss>(it)));
    }
    command
}

/// The newest release of a service.
pub fn newest<'a>(state: &'a State, service: &str) -> &'a Release {
    state.services[service].release.as_ref().unwrap()
}

pub fn requests(requests: u64) -> Evidence {
    Evidence { requests, ..Evidence::default() }
}

/// Decides the progress of the running release of a service.
pub fn progress(
    state: &State,
    service: &str,
    now: Timestamp,
    seen: &Observation,
) -> (Vec<Event>, Progress) {
    let service = &state.services[service];
    let release = service.release.as_ref().unwrap();
    let (events, mut progress) =
        decide_progress(&[ReleaseContext { state, service, release, now, wall: now, seen }]);
    (events, progress.remove(0))
}

/// A healthy observation with full convergence.
pub fn healthy(candidate: u64) -> Observation {
    Observation {
        verdict: Verdict::Healthy,
        candidate: requests(candidate),
        stable: requests(1000),
        counted_for: Duration::from_secs(10),
        convergence: Convergence { acked: 2, connected: 2, ..Convergence::default() },
        coverage_remaining: Duration::ZERO,
    }
}

/// A NACK of a route configuration.
pub fn nack() -> Nack {
    let message = "no such cluster".to_owned();
    Nack { node: "edge-2".to_owned(), resource: "route".to_owned(), message }
}

/// A smoke test with status 503.
pub fn smoke_test_failure() -> SmokeTestFailure {
    let failure = RequestFailure::UnexpectedStatus { status: 503, expected: 200 };
    SmokeTestFailure { url: "http://127.0.0.1:9202/healthz".to_owned(), failure }
}

pub fn finding(level: Level) -> Finding {
    Finding {
        guardrail: Guardrail::ErrorRate,
        level,
        limit: Limit::Share { max_ppm: Ppm::percent(5) },
        bad: 60,
        requests: 1000,
        window_ms: None,
        stable: None,
        first_failures: None,
        e_value: None,
        ratio: None,
        common_mode: false,
    }
}
