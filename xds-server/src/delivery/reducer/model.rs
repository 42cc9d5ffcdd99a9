//! Whatever operators, sidecars and crashes do in whatever order, these things hold.

use std::time::Duration;

use proptest::prelude::*;

use super::super::fixtures::*;
use super::*;
use crate::delivery::catalogue::{Environment, ServiceSpec};
use crate::delivery::command::ReleaseCommand;
use crate::delivery::progress::{Convergence, Observation};
use crate::delivery::release::{Phase, RollbackCause};
use crate::delivery::units::{Ppm, Timestamp};
use crate::judge::{Level, Verdict};

#[derive(Debug, Clone)]
enum Move {
    Ask(Command),
    Verb(&'static str, ReleaseCommand),
    Smoke(&'static str, Result<(), String>),
    See(Observation),
    Wait(Duration),
    /// Starts anew from the journal.
    Crash,
}

const SERVICES: [&str; 2] = ["order", "product"];

fn service() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&SERVICES)
}

fn version_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["v1", "v2", "v3", "v4"])
}

fn catalogue() -> impl Strategy<Value = Vec<ServiceSpec>> {
    let order = (version_name(), 9000..9003u16).prop_map(|(declared, port)| {
        let mut spec = order();
        spec.versions.insert(name(declared), version(port, None));
        spec
    });
    let product = (prop::option::of((version_name(), 0..2u16)), any::<bool>()).prop_map(
        |(green, canary_instead)| {
            let mut spec = product();
            if canary_instead {
                spec.environments = None;
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
    (prop::option::weighted(0.8, order), prop::option::weighted(0.8, product))
        .prop_map(|(order, product)| order.into_iter().chain(product).collect())
}

fn command() -> impl Strategy<Value = Command> {
    let environment = prop::option::of(prop::sample::select(&Environment::ALL));
    let plan = prop::option::of(prop::sample::select(vec![
        canary(&[0, 1, 100]),
        canary(&[5, 5, 100]),
        canary(&[100]),
        canary(&[50]),
        blue_green(),
    ]));
    prop_oneof![
        1 => catalogue().prop_map(Command::ApplyCatalogue),
        2 => (service(), version_name(), 9000..9003u16, environment).prop_map(
            |(service, version_name, port, environment)| Command::RegisterVersion {
                service: name(service),
                version: name(version_name),
                spec: version(port, environment),
            }
        ),
        4 => (service(), version_name(), plan).prop_map(|(service, version, plan)| {
            Command::StartRelease { service: name(service), version: name(version), plan, commit: None }
        }),
        1 => Just(Command::SetFlag { key: "f".to_owned(), definition: serde_json::json!({"x": 0.1}) }),
        1 => Just(Command::DeleteFlag { key: "f".to_owned() }),
    ]
}

fn verb_of() -> impl Strategy<Value = ReleaseCommand> {
    prop_oneof![
        4 => any::<bool>().prop_map(|all| ReleaseCommand::Promote { all }),
        2 => Just(ReleaseCommand::Pause),
        2 => Just(ReleaseCommand::Resume),
        1 => Just(ReleaseCommand::Abort),
        1 => Just(ReleaseCommand::Rollback),
    ]
}

fn observation() -> impl Strategy<Value = Observation> {
    let verdict = prop_oneof![
        20 => Just(Verdict::Healthy),
        2 => Just(Verdict::InsufficientData { missing: 5 }),
        2 => Just(Verdict::Alert { findings: vec![finding(Level::Warning)] }),
        1 => Just(Verdict::Alert { findings: vec![finding(Level::Critical)] }),
        1 => Just(Verdict::RollBack { finding: finding(Level::Rollback) }),
    ];
    let candidate = prop_oneof![1 => 0..10u64, 4 => Just(10)];
    (verdict, candidate, convergence()).prop_map(|(verdict, candidate, convergence)| Observation {
        verdict,
        convergence,
        ..healthy(candidate)
    })
}

/// All have it, one lags, one refuses, or nobody is connected.
fn convergence() -> impl Strategy<Value = Convergence> {
    let of = |acked, refusing, connected| {
        let refused = (0..refusing).map(|_| refused()).collect();
        Convergence { acked, refusing, connected, refused, ..Convergence::default() }
    };
    prop_oneof![8 => Just(of(2, 0, 2)), 1 => Just(of(1, 0, 2)), 1 => Just(of(1, 1, 2)), 1 => Just(of(0, 0, 0))]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let smoke = prop_oneof![3 => Just(Ok(())), 1 => Just(Err("503".to_owned()))];
    let one = prop_oneof![
        3 => command().prop_map(Move::Ask),
        4 => (service(), verb_of()).prop_map(|(service, verb)| Move::Verb(service, verb)),
        2 => (service(), smoke).prop_map(|(service, result)| Move::Smoke(service, result)),
        10 => observation().prop_map(Move::See),
        4 => (0..100u64).prop_map(|seconds| Move::Wait(Duration::from_secs(seconds))),
        1 => Just(Move::Crash),
    ];
    prop::collection::vec(one, 1..100)
}

/// The live state beside everything that was journaled, as its JSON.
struct Model {
    state: State,
    now: Timestamp,
    journal: Vec<(Timestamp, String)>,
    ids: Vec<ReleaseId>,
}

impl Model {
    fn commit(&mut self, events: &[Event]) {
        for event in events {
            self.state.apply(self.now, event).unwrap();
            let json = serde_json::to_string(event).unwrap();
            self.journal.push((self.now, json));
            if let Event::ReleaseStarted { id, .. } = event {
                assert!(!self.ids.contains(id), "{id} twice");
                self.ids.push(id.clone());
            }
        }
    }

    fn ask(&mut self, command: &Command) {
        // A refusal is as good an answer as any; that it changes nothing is what matters here.
        if let Ok((events, outcome)) = decide_command(&self.state, command) {
            assert_eq!(events.is_empty(), !outcome.changed, "{outcome:?}");
            self.commit(&events);
        }
    }

    fn see(&mut self, seen: &Observation) {
        let running: Vec<_> = self.state.running().cloned().collect();
        for release in running {
            let (events, progress) = decide_progress(&release, self.now, seen);
            let goes_back = matches!(seen.verdict, Verdict::RollBack { .. });
            let went_back = matches!(events.as_slice(), [Event::RolledBack { .. }]);
            assert_eq!(goes_back, went_back);
            let moves = events
                .iter()
                .any(|it| matches!(it, Event::StepEntered { .. } | Event::Completed { .. }));
            assert_eq!(moves, progress.waiting_for.is_empty() && !goes_back);
            let Convergence { acked, connected, refusing, .. } = seen.convergence;
            assert!(!moves || refusing == 0, "a refusal holds");
            assert!(
                !moves || release.converged || acked == connected,
                "who lags holds a beginning"
            );
            let begins = events.iter().any(|it| matches!(it, Event::StepConverged { .. }));
            assert!(!begins || acked == connected && connected > 0, "a step begins with everybody");
            assert!(
                !begins || !moves && !release.converged,
                "a step begins once, and has then to last"
            );
            self.commit(&events);
        }
    }

    fn folded(&self) -> State {
        let mut state = State::default();
        for (at, json) in &self.journal {
            let event: Event = serde_json::from_str(json).unwrap();
            state.apply(*at, &event).unwrap();
        }
        state
    }

    fn step(&mut self, next: Move) {
        let newest = |state: &State, service: &str| {
            let release = state.services.get(service)?.release.as_ref()?;
            Some(release.id.clone())
        };
        match next {
            Move::Ask(command) => self.ask(&command),
            Move::Verb(service, verb) => {
                if let Some(id) = newest(&self.state, service) {
                    self.ask(&Command::Release(id, verb));
                }
            }
            Move::Smoke(service, result) => {
                if let Some(release) = newest(&self.state, service) {
                    self.ask(&Command::SmokeTested { release, result });
                }
            }
            Move::See(seen) => self.see(&seen),
            Move::Wait(time) => self.now = self.now.after(time),
            Move::Crash => self.state = self.folded(),
        }
    }

    /// A snapshot is the state, to the byte.
    fn check_snapshot(&self) {
        let json = serde_json::to_string(&self.state).unwrap();
        let kept: State = serde_json::from_str(&json).unwrap();
        assert_eq!(kept, self.state);
        assert_eq!(serde_json::to_string(&kept).unwrap(), json);
    }

    /// What always holds.
    fn check(&self) {
        for service in self.state.services.values() {
            let versions = &service.spec.versions;
            assert!(versions.contains_key(&service.stable), "stable is gone");
            assert_ne!(service.previous.as_ref(), Some(&service.stable));
            if let Some(previous) = &service.previous {
                assert!(versions.contains_key(previous), "previous is gone");
            }
            for environment in Environment::ALL {
                let held = |it: &&crate::delivery::catalogue::VersionSpec| {
                    it.environment == Some(environment)
                };
                assert!(versions.values().filter(held).count() <= 1, "{environment}");
            }
            let Some(release) = &service.release else {
                continue;
            };
            self.check_release(release);
        }
    }

    fn check_release(&self, release: &crate::delivery::release::Release) {
        let service = &self.state.services[&release.service];
        let planned = release.plan.steps.iter().map(|step| step.weight);
        let weights: Vec<_> = planned.chain([Ppm::ZERO]).collect();
        assert!(weights.contains(&release.weight()), "outside the plan");

        let rollback = Command::Release(release.id.clone(), ReleaseCommand::Rollback);
        let decision = decide_command(&self.state, &rollback);
        if release.is_running() {
            assert!(service.spec.versions.contains_key(&release.candidate));
            assert_eq!(service.stable, release.stable);
            let (events, _) = decision.unwrap();
            let mut after = self.state.clone();
            for event in &events {
                after.apply(self.now, event).unwrap();
            }
            let after = &after.services[&release.service];
            assert_eq!(after.split().candidate, None);
            assert_eq!(after.stable, release.stable);
            let cause = RollbackCause::Operator;
            let at = self.now;
            assert_eq!(after.release.as_ref().unwrap().phase, Phase::RolledBack { at, cause });
        } else if matches!(release.phase, Phase::Completed { .. }) {
            assert_eq!(decision.is_ok(), service.previous.is_some());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_gets_stuck_or_lost(moves in moves()) {
        let mut model = Model {
            state: State::default(),
            now: Timestamp(1_000_000),
            journal: Vec::new(),
            ids: Vec::new(),
        };
        model.ask(&Command::ApplyCatalogue(vec![order(), product()]));
        for next in moves {
            model.step(next);
            model.check();
            assert_eq!(model.folded(), model.state);
        }
        model.check_snapshot();
    }
}
