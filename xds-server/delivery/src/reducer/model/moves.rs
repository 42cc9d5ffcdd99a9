//! Random commands, observations and crashes.

use crate::names::Services;
use std::time::Duration;

use proptest::prelude::*;

use crate::fixtures::*;
use crate::judge::{Guardrail, Level, Verdict};
use crate::model::catalogue::{Environment, ServiceSpec};
use crate::model::command::{Command, ReleaseCommand};
use crate::model::failure::SmokeTestFailure;
use crate::model::flag::FlagChange;
use crate::model::freeze::{FreezeSchedule, FreezeWindow};
use crate::model::group::Member;
use crate::model::holdback::Holdback;
use crate::model::hook::Moment;
use crate::model::plan::{OnFail, Plan};
use crate::model::progress::{Convergence, Observation};
use crate::model::signals::{Signal, SignalKind, SignalStatus};
use crate::names::ServiceName;
use crate::units::{Ppm, Timestamp};

#[expect(clippy::large_enum_variant, reason = "there are some hundreds at a time, in a test")]
#[derive(Debug, Clone)]
pub(super) enum Move {
    Ask(&'static str, Command),
    Verb(&'static str, &'static str, ReleaseCommand),
    Smoke(&'static str, Result<(), SmokeTestFailure>),
    /// A command on the group.
    Group(&'static str, ReleaseCommand),
    /// All due hook calls of a service end.
    Hooks(&'static str, Result<(), String>),
    /// The DNS server of a service answers with the desired records, or is unreachable.
    Dns(&'static str, bool),
    See([Observation; 2]),
    Wait(Duration),
    /// Restart from the journal.
    Crash,
}

pub(super) const SERVICES: [&str; 2] = ["order", "product"];

/// Everything that a configuration here can take away.
const ALL_LOSSES: [&str; 18] = [
    "service:order",
    "service:product",
    "version:order/v1",
    "endpoints:order/v1",
    "version:order/v2",
    "endpoints:order/v2",
    "version:order/v3",
    "endpoints:order/v3",
    "version:order/v4",
    "endpoints:order/v4",
    "version:product/v1",
    "endpoints:product/v1",
    "version:product/v2",
    "endpoints:product/v2",
    "version:product/v3",
    "endpoints:product/v3",
    "version:product/v4",
    "endpoints:product/v4",
];

pub(super) const GROUP: &str = "checkout";

fn service() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&SERVICES)
}

fn actor() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["anne", "bob", "eve"])
}

fn version_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["v1", "v2", "v3", "v4"])
}

/// With a blocking hook at 100 %.
pub(super) fn order_with_hooks() -> ServiceSpec {
    ServiceSpec { hooks: vec![hook("index", Moment::Switched, true)], ..order() }
}

/// With a DNS name, and rollbacks after completion.
pub(super) fn named_product() -> ServiceSpec {
    let mut spec = ServiceSpec { dns: Some(dns()), ..product() };
    spec.plan.rollback_after_completion = Duration::from_secs(30);
    spec
}

fn catalogue() -> impl Strategy<Value = Vec<ServiceSpec>> {
    let order =
        (version_name(), 9000..9003u16, any::<bool>()).prop_map(|(declared, port, required)| {
            let mut spec = if required { order_with_requirements() } else { order_with_hooks() };
            spec.versions.insert(name(declared), version(port, None));
            spec
        });
    let product = (prop::option::of((version_name(), 0..2u16)), any::<bool>()).prop_map(
        |(green, canary_instead)| {
            let mut spec = named_product();
            if canary_instead {
                spec.environments = None;
                spec.dns = None;
                spec.versions.values_mut().for_each(|it| it.environment = None);
            } else if let Some((green, port)) = green.filter(|(green, _)| *green != "v1") {
                let environments = spec.environments.as_mut().unwrap();
                environments.green = at(9202 + port);
                let there = version(9202 + port, Some(Environment::Green));
                spec.versions.insert(name(green), there);
            }
            spec
        },
    );
    (prop::option::weighted(0.8, order), prop::option::weighted(0.8, product)).prop_map(
        |(order, product)| {
            let mut services: Vec<_> = order.into_iter().chain(product).collect();
            services.iter_mut().for_each(|it| it.plan.rollback_window = Duration::from_secs(50));
            services
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let environment = prop::option::of(prop::sample::select(&Environment::ALL));
    let plan = prop::option::of(prop::sample::select(vec![
        canary(&[0, 1, 100]),
        canary(&[5, 99, 100]),
        Plan { holdback: Some(Holdback::Share(Ppm::percent(6))), ..canary(&[5, 5, 100]) },
        canary(&[100]),
        canary(&[50]),
        blue_green(),
        Plan { on_fail: OnFail::Pause, ..canary(&[5, 50, 100]) },
        Plan { rollback_window: Duration::from_secs(50), ..order_with_requirements().plan },
    ]));
    prop_oneof![
        2 => (catalogue(), freeze_windows(), any::<bool>()).prop_map(|(services, freeze_windows, allow)| {
            let command = configuration(services, freeze_windows);
            if allow { allowing(command, &ALL_LOSSES) } else { command }
        }),
        2 => (service(), version_name(), 9000..9003u16, environment).prop_map(
            |(service, version_name, port, environment)| Command::RegisterVersion {
                service: name(service),
                version: name(version_name),
                spec: version(port, environment),
            }
        ),
        2 => (service(), version_name()).prop_map(|(service, version)| {
            Command::RemoveVersion { service: name(service), version: name(version) }
        }),
        4 => (service(), version_name(), plan).prop_map(|(service, version, plan)| {
            Command::StartRelease { service: name(service), version: name(version), plan, commit: None }
        }),
        4 => (version_name(), version_name(), group_plan()).prop_map(|(order, product, plan)| {
            let member = |service, version| Member { service: name(service), version: name(version), commit: None };
            let members = vec![member("order", order), member("product", product)];
            Command::StartGroup { group: name(GROUP), members, plan }
        }),
        2 => (service(), version_name(), any::<bool>()).prop_map(|(service, version, passed)| {
            let (service, version) = (name(service), name(version));
            Command::ReportCheck { service, version, check: name("tests"), passed, url: None }
        }),
        2 => (service(), signal()).prop_map(|(service, signal)| {
            Command::Signal { service: name(service), signal }
        }),
        2 => (service(), version_name()).prop_map(|(service, version)| {
            Command::Unquarantine { service: name(service), version: name(version) }
        }),
        1 => frozen_scope().prop_map(Command::FreezeDeployments),
        3 => frozen_scope().prop_map(Command::UnfreezeDeployments),
        1 => (service(), version_name()).prop_map(|(service, version)| {
            Command::AllowFlags { service: name(service), version: name(version) }
        }),
        1 => prop::option::of(0_u64..9).prop_map(|if_revision| {
            let definition = serde_json::json!({"variants": {"on": 0.1}, "defaultVariant": "on"});
            let change = FlagChange::Set { key: "f".to_owned(), definition };
            Command::ChangeFlags { change, if_revision }
        }),
        1 => any::<bool>()
            .prop_map(|enabled| FlagChange::Switch { key: "f".to_owned(), enabled }.into()),
        1 => Just(FlagChange::Delete { key: "f".to_owned() }.into()),
    ]
}

/// Mostly one plan for both: the plans of the services have different numbers of steps.
fn group_plan() -> impl Strategy<Value = Option<Plan>> {
    prop::sample::select(vec![
        Some(canary(&[5, 50, 100])),
        Some(canary(&[1, 2, 100])),
        Some(blue_green()),
        Some(Plan { on_fail: OnFail::Pause, ..canary(&[5, 10, 100]) }),
        None,
    ])
}

fn signal() -> impl Strategy<Value = Signal> {
    let kind = prop_oneof![1 => Just(SignalKind::Security), 2 => Just(SignalKind::Business)];
    let status = prop_oneof![1 => Just(SignalStatus::Bad), 2 => Just(SignalStatus::Ok)];
    (kind, version_name(), status).prop_map(|(kind, version, status)| Signal {
        kind,
        version: name(version),
        name: name("orders"),
        status,
    })
}

fn frozen_scope() -> impl Strategy<Value = Option<ServiceName>> {
    prop::option::of(service().prop_map(name))
}

/// None, or one in the near future.
fn freeze_windows() -> impl Strategy<Value = Vec<FreezeWindow>> {
    let once = (1_000_000..1_500_000u64, 1..200_000u64).prop_map(|(start, length)| FreezeWindow {
        name: name("soon"),
        when: FreezeSchedule::Once { start: Timestamp(start), end: Timestamp(start + length) },
        services: Services::All,
    });
    prop::collection::vec(once, 0..2)
}

fn verb_of() -> impl Strategy<Value = ReleaseCommand> {
    prop_oneof![
        4 => any::<bool>().prop_map(|all| ReleaseCommand::Promote { all }),
        2 => (0..5usize).prop_map(|step| ReleaseCommand::PromoteFrom { step }),
        2 => Just(ReleaseCommand::Pause),
        2 => Just(ReleaseCommand::Resume),
        4 => Just(ReleaseCommand::Approve { role: name("manager") }),
        1 => Just(ReleaseCommand::Abort),
        1 => Just(ReleaseCommand::Rollback),
    ]
}

fn observation() -> impl Strategy<Value = Observation> {
    let verdict = prop_oneof![
        20 => Just(Verdict::Healthy),
        2 => Just(Verdict::Inconclusive { missing: 5, at_limit: None }),
        1 => Just(Verdict::Inconclusive { missing: 0, at_limit: Some(Guardrail::Latency) }),
        2 => Just(Verdict::Alert { findings: vec![finding(Level::Warning)] }),
        1 => Just(Verdict::Alert { findings: vec![finding(Level::Critical)] }),
        1 => Just(Verdict::RollBack { findings: vec![finding(Level::Rollback)] }),
    ];
    let candidate = prop_oneof![1 => 0..10u64, 4 => Just(10)];
    let coverage_remaining =
        prop_oneof![4 => Just(Duration::ZERO), 1 => Just(Duration::from_secs(3))];
    let counted_for =
        prop::sample::select(vec![Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10)]);
    (verdict, candidate, convergence(), coverage_remaining, counted_for).prop_map(
        |(verdict, candidate, convergence, coverage_remaining, counted_for)| Observation {
            verdict,
            counted_for,
            convergence,
            coverage_remaining,
            ..healthy(candidate)
        },
    )
}

/// All ACKed, one is pending, one sent a NACK, or none is connected.
fn convergence() -> impl Strategy<Value = Convergence> {
    let of = |acked, nacked, connected| {
        let nacks = (0..nacked).map(|_| nack()).collect();
        Convergence { acked, nacked, connected, nacks, ..Convergence::default() }
    };
    prop_oneof![8 => Just(of(2, 0, 2)), 1 => Just(of(1, 0, 2)), 1 => Just(of(1, 1, 2)), 1 => Just(of(0, 0, 0))]
}

pub(super) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let smoke = prop_oneof![3 => Just(Ok(())), 1 => Just(Err(smoke_test_failure()))];
    let ended = prop_oneof![3 => Just(Ok(())), 1 => Just(Err("500".to_owned()))];
    let one = prop_oneof![
        3 => (actor(), command()).prop_map(|(actor, command)| Move::Ask(actor, command)),
        4 => (actor(), service(), verb_of())
            .prop_map(|(actor, service, verb)| Move::Verb(actor, service, verb)),
        2 => (service(), smoke).prop_map(|(service, result)| Move::Smoke(service, result)),
        3 => (actor(), verb_of()).prop_map(|(actor, verb)| Move::Group(actor, verb)),
        2 => (service(), ended).prop_map(|(service, result)| Move::Hooks(service, result)),
        2 => (service(), any::<bool>()).prop_map(|(service, well)| Move::Dns(service, well)),
        10 => [observation(), observation()].prop_map(Move::See),
        4 => (0..100u64).prop_map(|seconds| Move::Wait(Duration::from_secs(seconds))),
        1 => Just(Move::Crash),
    ];
    prop::collection::vec(one, 1..100)
}
