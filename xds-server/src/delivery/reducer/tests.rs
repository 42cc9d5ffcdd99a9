//! The rules, one by one.

use std::time::Duration;

use super::super::fixtures::*;
use super::*;
use crate::delivery::catalogue::Environment;
use crate::delivery::command::ReleaseCommand::{self, Abort, Pause, Promote, Resume, Rollback};
use crate::delivery::progress::{Convergence, Observation};
use crate::delivery::release::{Phase, RollbackCause};
use crate::delivery::units::{Ppm, Timestamp};
use crate::judge::{Evidence, Level, Verdict};

const NEXT: ReleaseCommand = Promote { all: false };
const ALL: ReleaseCommand = Promote { all: true };

/// A state and the seconds since it began.
struct World(State, u64);

impl World {
    fn new() -> Self {
        Self(declared(), 0)
    }

    /// `order` on its first step.
    fn stepping() -> Self {
        let mut world = Self::new();
        world.ask(&start("order", "v2")).unwrap();
        world.see("order", 0, &healthy(0));
        assert_eq!(world.weight("order"), Ppm::percent(5));
        world
    }

    /// `order` at 100 %.
    fn watching() -> Self {
        let mut world = Self::stepping();
        world.ask(&verb("order.1", ALL)).unwrap();
        world
    }

    /// `order` released: v2 is stable.
    fn complete() -> Self {
        let mut world = Self::watching();
        world.see("order", 60, &healthy(10));
        assert_eq!(world.0.services["order"].stable, name("v2"));
        world
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.1 * 1000)
    }

    fn ask(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        let now = self.now();
        run(&mut self.0, now, command)
    }

    /// Lets time pass, and what is then seen decide. Says what it waits for.
    fn see(&mut self, service: &str, seconds: u64, seen: &Observation) -> Vec<String> {
        self.1 += seconds;
        let now = self.now();
        let (events, progress) = decide_progress(newest(&self.0, service), now, seen);
        for event in &events {
            self.0.apply(now, event).unwrap();
        }
        progress.waiting_for
    }

    fn weight(&self, service: &str) -> Ppm {
        newest(&self.0, service).weight()
    }
}

fn verdict(verdict: Verdict, candidate: u64) -> Observation {
    Observation {
        verdict,
        ..healthy(candidate)
    }
}

fn alert() -> Verdict {
    Verdict::Alert {
        findings: vec![finding(Level::Warning)],
    }
}

fn bad() -> Verdict {
    Verdict::RollBack {
        finding: finding(Level::Rollback),
    }
}

#[test]
fn a_good_canary_climbs_and_completes() {
    let mut world = World::stepping();
    world.see("order", 10, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
    world.see("order", 10, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::ALL);
    world.see("order", 59, &healthy(10));
    assert!(newest(&world.0, "order").is_running());
    world.see("order", 1, &healthy(10));
    let service = &world.0.services["order"];
    assert_eq!(service.stable, name("v2"));
    assert_eq!(service.previous, Some(name("v1")));
    assert_eq!(service.split().candidate, None);
}

#[test]
fn each_gate_holds_a_step_and_says_so() {
    let lagging = Observation {
        convergence: Convergence {
            acked: 1,
            connected: 2,
        },
        ..healthy(10)
    };
    for (seconds, seen, waits_for) in [
        (9, healthy(10), "time: 1 s more"),
        (10, healthy(7), "requests: 3 more"),
        (10, lagging, "sidecars: 1 of 2 have it"),
        (
            10,
            verdict(alert(), 10),
            "the error rate to fall below 5% (60 of 1000 above it)",
        ),
    ] {
        let mut world = World::stepping();
        assert_eq!(world.see("order", seconds, &seen), [waits_for]);
        assert_eq!(world.weight("order"), Ppm::percent(5));
    }
}

#[test]
fn no_requests_are_no_evidence_however_long_they_are_waited_for() {
    let mut world = World::new();
    let mut plan = canary(&[5, 100]);
    plan.steps.iter_mut().for_each(|it| it.min_requests = 0);
    let command = Command::StartRelease {
        service: name("order"),
        version: name("v2"),
        plan: Some(plan),
    };
    world.ask(&command).unwrap();
    world.see("order", 0, &healthy(0));
    let waits_for = world.see("order", 1_000_000, &healthy(0));
    assert_eq!(waits_for, ["requests: 1 more"]);
    world.see("order", 0, &healthy(1));
    assert_eq!(world.weight("order"), Ppm::ALL);
    assert_eq!(
        world.see("order", 1_000_000, &healthy(0)),
        ["requests: 1 more"]
    );
}

#[test]
fn a_judge_that_wants_more_holds_no_step_that_has_its_requests() {
    let mut world = World::stepping();
    let seen = verdict(Verdict::InsufficientData { missing: 90 }, 10);
    assert!(world.see("order", 10, &seen).is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn nobody_connected_is_no_reason_to_wait_for_sidecars() {
    let mut world = World::new();
    world.ask(&start("order", "v2")).unwrap();
    let alone = Observation {
        convergence: Convergence::default(),
        ..healthy(0)
    };
    assert!(world.see("order", 0, &alone).is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(5));
}

#[test]
fn alerts_are_told_once_and_cleared_only_by_evidence() {
    let mut world = World::stepping();
    let count = |world: &World, seen: &Observation| {
        decide_progress(newest(&world.0, "order"), world.now(), seen)
            .0
            .len()
    };
    assert_eq!(count(&world, &verdict(alert(), 10)), 1);
    world.see("order", 1, &verdict(alert(), 10));
    assert_eq!(count(&world, &verdict(alert(), 20)), 0);
    let too_little = verdict(Verdict::InsufficientData { missing: 5 }, 20);
    let waits_for = world.see("order", 100, &too_little);
    assert_eq!(
        waits_for,
        ["5 more requests to clear the warning of its error rate"]
    );
    assert!(!newest(&world.0, "order").alerts.is_empty());
    world.see("order", 0, &healthy(20));
    assert!(newest(&world.0, "order").alerts.is_empty());
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn a_broken_guardrail_rolls_back_wherever_the_release_is() {
    for pause in [false, true] {
        for mut world in [World::stepping(), World::watching(), {
            let mut world = World::new();
            world.ask(&start("order", "v2")).unwrap();
            world
        }] {
            if pause {
                world.ask(&verb("order.1", Pause)).unwrap();
            }
            world.see("order", 0, &verdict(bad(), 1000));
            let finding = finding(Level::Rollback);
            assert_eq!(
                newest(&world.0, "order").phase,
                Phase::RolledBack {
                    at: world.now(),
                    cause: RollbackCause::Guardrail { finding }
                }
            );
            assert_eq!(world.0.services["order"].stable, name("v1"));
        }
    }
}

#[test]
fn held_time_does_not_count() {
    let mut world = World::stepping();
    world.see("order", 4, &healthy(10));
    world.ask(&verb("order.1", Pause)).unwrap();
    let waits_for = world.see("order", 100, &healthy(10));
    assert_eq!(waits_for, ["an operator to resume it", "time: 6 s more"]);
    world.ask(&verb("order.1", Resume)).unwrap();
    world.see("order", 5, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(5));
    world.see("order", 1, &healthy(10));
    assert_eq!(world.weight("order"), Ppm::percent(50));
}

#[test]
fn promotion_goes_on_but_does_not_let_go_of_what_is_held() {
    let mut world = World::stepping();
    world.ask(&verb("order.1", Pause)).unwrap();
    world.see("order", 30, &healthy(10));
    let outcome = world.ask(&verb("order.1", NEXT)).unwrap();
    assert!(outcome.message.contains("held"), "{outcome:?}");
    assert_eq!(world.weight("order"), Ppm::percent(50));
    world.see("order", 30, &healthy(10));
    world.ask(&verb("order.1", Resume)).unwrap();
    let waits_for = world.see("order", 0, &healthy(10));
    assert_eq!(waits_for, ["time: 10 s more"]);
}

#[test]
fn verbs_asked_twice_change_nothing_and_say_so() {
    let held = || {
        let mut world = World::stepping();
        world.ask(&verb("order.1", Pause)).unwrap();
        world
    };
    for (mut world, command) in [
        (World::stepping(), Pause),
        (held(), Resume),
        (World::stepping(), ALL),
        (World::stepping(), Abort),
        (World::stepping(), Rollback),
        (World::watching(), Rollback),
        (World::complete(), Rollback),
    ] {
        assert!(
            world
                .ask(&verb("order.1", command.clone()))
                .unwrap()
                .changed
        );
        let before = world.0.clone();
        let again = world.ask(&verb("order.1", command)).unwrap();
        assert!(!again.changed, "{again:?}");
        assert_eq!(world.0, before);
    }
    assert!(
        !World::complete()
            .ask(&verb("order.1", NEXT))
            .unwrap()
            .changed
    );
}

#[test]
fn verbs_that_do_not_fit_say_the_way_out() {
    let aborted = || {
        let mut world = World::stepping();
        world.ask(&verb("order.1", Abort)).unwrap();
        world
    };
    for (mut world, command, way_out) in [
        (World::watching(), Abort, "roll it back instead"),
        (World::complete(), Abort, "roll it back instead"),
        (aborted(), NEXT, "start a new release"),
        (aborted(), Pause, "it has ended"),
        (aborted(), Resume, "it has ended"),
    ] {
        let refusal = world.ask(&verb("order.1", command)).unwrap_err();
        assert!(matches!(refusal, Refusal::WrongPhase { .. }));
        assert!(refusal.to_string().contains(way_out), "{refusal}");
    }
}

#[test]
fn rollback_after_completion_restores_the_version_before() {
    let mut world = World::complete();
    world.ask(&verb("order.1", Rollback)).unwrap();
    let service = &world.0.services["order"];
    assert_eq!((&service.stable, &service.previous), (&name("v1"), &None));
    assert!(matches!(
        newest(&world.0, "order").phase,
        Phase::RolledBack {
            cause: RollbackCause::Operator,
            ..
        }
    ));
}

#[test]
fn refuses_releases_that_cannot_be() {
    let mut world = World::stepping();
    let refusal = |world: &mut World, command| world.ask(&command).unwrap_err().to_string();
    for (service, version, says) in [
        ("nobody", "v2", "the services are order, product"),
        (
            "order",
            "v3",
            "release `order.1` of `order` to `v2` is running",
        ),
        ("product", "v1", "is the stable one already"),
    ] {
        let said = refusal(&mut world, start(service, version));
        assert!(said.contains(says), "{said}");
    }
    world.ask(&verb("order.1", Abort)).unwrap();
    let said = refusal(&mut world, start("order", "v3"));
    assert!(said.contains("it has v1, v2"), "{said}");
    let said = refusal(
        &mut world,
        Command::StartRelease {
            service: name("order"),
            version: name("v2"),
            plan: Some(canary(&[5])),
        },
    );
    assert!(said.contains("must be 100%"), "{said}");
    let said = refusal(&mut world, verb("order.9", Rollback));
    assert!(said.contains("no release `order.9`"), "{said}");
}

#[test]
fn blue_green_deploys_to_the_inactive_environment_tests_it_and_switches() {
    let mut world = World::new();
    world.ask(&start("product", "v2")).unwrap();
    let service = &world.0.services["product"];
    assert_eq!(
        service.spec.versions[&name::<crate::delivery::names::VersionName>("v2")],
        version(9202, Some(Environment::Green))
    );
    let waits_for = world.see("product", 10, &healthy(0));
    assert_eq!(waits_for, ["its smoke tests"]);
    let refusal = world.ask(&verb("product.1", ALL)).unwrap_err();
    assert!(refusal.to_string().contains("smoke tests"), "{refusal}");

    let passed = Command::SmokeTested {
        release: name("product.1"),
        result: Ok(()),
    };
    assert!(world.ask(&passed).unwrap().changed);
    assert!(!world.ask(&passed).unwrap().changed);
    world.see("product", 0, &healthy(0));
    assert_eq!(world.weight("product"), Ppm::ALL);
    world.see("product", 60, &healthy(10));

    // The next one displaces v1 from blue, and with it the way back to v1.
    world.ask(&start("product", "v3")).unwrap();
    let service = &world.0.services["product"];
    assert_eq!(service.occupant(Environment::Blue), Some(&name("v3")));
    assert_eq!(service.previous, None);
    world.ask(&verb("product.2", Abort)).unwrap();
    assert_eq!(world.0.services["product"].stable, name("v2"));
}

#[test]
fn a_failed_smoke_test_rolls_back_even_what_is_held() {
    let mut world = World::new();
    world.ask(&start("product", "v2")).unwrap();
    world.ask(&verb("product.1", Pause)).unwrap();
    let failed = Command::SmokeTested {
        release: name("product.1"),
        result: Err("503".repeat(1000)),
    };
    world.ask(&failed).unwrap();
    let Phase::RolledBack { cause, .. } = &newest(&world.0, "product").phase else {
        panic!("{:?}", newest(&world.0, "product").phase);
    };
    let RollbackCause::SmokeTest { failure } = cause else {
        panic!("{cause:?}");
    };
    assert_eq!(failure.len(), 500);
}

#[test]
fn what_serves_is_not_displaced_or_moved() {
    let mut world = World::new();
    let register = |version_name: &str, environment| Command::RegisterVersion {
        service: name("product"),
        version: name(version_name),
        spec: version(9999, environment),
    };
    let mut refusal = |command| world.ask(&command).unwrap_err();
    let blue = Some(Environment::Blue);
    let green = Some(Environment::Green);
    for (command, says) in [
        (register("v2", blue), "blue holds `v1`, which is in use"),
        (register("v1", green), "in use in blue and cannot move"),
        (register("v2", None), "needs an environment"),
    ] {
        let said = refusal(command).to_string();
        assert!(said.contains(says), "{said}");
    }
    world.ask(&start("product", "v2")).unwrap();
    let refusal = world.ask(&register("v3", green)).unwrap_err();
    assert!(matches!(refusal, Refusal::AlreadyRunning { .. }));
}

#[test]
fn refuses_endpoints_that_are_none() {
    let mut world = World::new();
    for (host, port) in [("", 80), ("a b", 80), ("a/b", 80), ("::g", 80), ("a", 0)] {
        let mut spec = version(port, None);
        spec.endpoints[0].host = host.to_owned();
        let command = Command::RegisterVersion {
            service: name("order"),
            version: name("v3"),
            spec,
        };
        assert!(world.ask(&command).is_err(), "{host}:{port}");
    }
}

#[test]
fn flags_are_kept_whole() {
    let mut world = World::new();
    let document = serde_json::json!({"flags": {"a": {"x": 1}}, "$evaluators": {"e": {}}});
    let replace = Command::ReplaceFlags(document);
    assert!(world.ask(&replace).unwrap().changed);
    assert!(!world.ask(&replace).unwrap().changed);
    assert!(world.0.evaluators.contains_key("e"));
    let set = Command::SetFlag {
        key: "b".to_owned(),
        definition: serde_json::json!({}),
    };
    assert!(world.ask(&set).unwrap().changed);
    assert!(!world.ask(&set).unwrap().changed);
    let delete = Command::DeleteFlag {
        key: "a".to_owned(),
    };
    world.ask(&delete).unwrap();
    assert!(matches!(world.ask(&delete), Err(Refusal::UnknownFlag(_))));
    assert_eq!(world.0.flags.keys().collect::<Vec<_>>(), ["b"]);
    for bad in [
        serde_json::json!([]),
        serde_json::json!({"flags": 1}),
        serde_json::json!({"flags": {}, "$evaluators": 1}),
        serde_json::json!({"flags": {"": {}}}),
    ] {
        assert!(world.ask(&Command::ReplaceFlags(bad)).is_err());
    }
}

#[test]
fn what_let_a_step_go_on_is_in_the_journal() {
    let world = World::stepping();
    let seen = Observation {
        candidate: Evidence {
            requests: 12,
            errors: 1,
            ..Evidence::default()
        },
        ..healthy(0)
    };
    let later = world.now().after(Duration::from_secs(10));
    let (events, _) = decide_progress(newest(&world.0, "order"), later, &seen);
    let [Event::StepEntered { evidence, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    let evidence = evidence.unwrap();
    assert_eq!(
        (evidence.candidate, evidence.stable, evidence.sidecars),
        (seen.candidate, seen.stable, 2)
    );
}
