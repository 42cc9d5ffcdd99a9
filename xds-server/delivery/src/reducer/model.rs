//! The model test: invariants under random commands, observations and crashes.

mod groups;
mod moves;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use self::moves::{GROUP, Move, SERVICES, moves, named_product, order_with_hooks};
use super::*;
use crate::fixtures::*;
use crate::judge::Verdict;
use crate::model::catalogue::Environment;
use crate::model::command::ReleaseCommand;
use crate::model::hook::{Call, CallState};
use crate::model::phases::{PHASE_CHANGES, PhaseChange, PhaseKind};
use crate::model::plan::OnFail;
use crate::model::progress::{Convergence, Observation, Progress};
use crate::model::release::{Phase, RollbackCause};
use crate::model::signals::{Signal, SignalKind, SignalStatus};
use crate::units::{Ppm, Timestamp};

/// The live state beside everything that was journaled, as its JSON.
#[derive(Clone)]
struct Model {
    state: State,
    now: Timestamp,
    journal: Vec<(Timestamp, String)>,
    ids: Vec<ReleaseId>,
}

/// The phase and step of every release. A transition changes them.
fn places(state: &State) -> BTreeMap<ReleaseId, (PhaseKind, Option<usize>)> {
    let releases = state.services.values().filter_map(|service| service.release.as_ref());
    releases.map(|it| (it.id.clone(), (it.phase.name(), it.step()))).collect()
}

fn forward(event: &Event) -> bool {
    matches!(event, Event::StepEntered { .. } | Event::Completed { .. })
}

/// True if the verdict rolls the release back.
fn breaks(context: &ReleaseContext<'_>) -> bool {
    let broken = matches!(context.seen.verdict, Verdict::RollBack { .. });
    broken && context.release.plan.on_fail == OnFail::Rollback
}

impl Model {
    fn commit(&mut self, events: &[Event]) {
        for event in events {
            let before = places(&self.state);
            self.state.apply(self.now, event).unwrap();
            self.check_transition(event, &before);
            let json = serde_json::to_string(event).unwrap();
            self.journal.push((self.now, json));
            if let Event::ReleaseStarted { id, .. } = event {
                assert!(!self.ids.contains(id), "{id} twice");
                self.ids.push(id.clone());
            }
        }
    }

    /// Checks that a change of phase is in the table of transitions.
    fn check_transition(
        &self,
        event: &Event,
        before: &BTreeMap<ReleaseId, (PhaseKind, Option<usize>)>,
    ) {
        for (id, place) in places(&self.state) {
            let was = before.get(&id);
            if was == Some(&place) {
                continue;
            }
            let from = was.map(|was| was.0);
            let way = PhaseChange { from, event: event.kind(), to: place.0 };
            assert!(PHASE_CHANGES.contains(&way), "{way:?}");
            if let Event::StepEntered { weight, .. } = event {
                let release = self.state.release(&id).unwrap();
                assert_eq!(release.weight(), *weight);
                let before = was.and_then(|(_, step)| Some(release.plan.steps[(*step)?].weight));
                assert!(before.unwrap_or_default() <= *weight, "{id}: the weight falls");
            }
        }
    }

    fn ask(&mut self, actor: &str, command: &Command) {
        // A refused command has no effect.
        let command_context = command_context(actor, self.now);
        if let Ok((events, outcome)) = decide_command(&self.state, &command_context, command) {
            assert_eq!(events.is_empty(), !outcome.changed, "{outcome:?}");
            for id in events.iter().filter(|it| forward(it)).filter_map(Event::release) {
                self.check_permitted(id);
            }
            self.commit(&events);
        }
    }

    /// Checks the requirements of a transition.
    fn check_permitted(&self, id: &ReleaseId) {
        let service = self.state.service_of(id).unwrap();
        assert_eq!(self.state.active_freezes(service, self.now), []);
        let release = service.running().unwrap();
        for check in &release.plan.requirements.checks {
            assert!(service.checks.result(&release.candidate, check).unwrap().passed);
        }
        let starter = &release.started_by;
        let theirs = release.approvals.iter().any(|it| it.by == *starter);
        assert!(!theirs, "approved by its starter");
        if release.next_step() == Some(0)
            && let Some(gate) = &release.plan.requirements.approvals
        {
            assert_eq!(gate.missing(&release.approvals, 0, self.now), 0);
        }
    }

    /// Evaluates all releases on one observation per service, in the order of [`SERVICES`].
    fn see(&mut self, seen: &[Observation; 2]) {
        let before = self.state.clone();
        for group in before.running_groups() {
            let contexts: Vec<_> = group
                .iter()
                .map(|&(service, release)| {
                    let place = SERVICES.iter().position(|it| *it == release.service.as_str());
                    let seen = &seen[place.unwrap()];
                    ReleaseContext {
                        state: &before,
                        service,
                        release,
                        now: self.now,
                        wall: self.now,
                        seen,
                    }
                })
                .collect();
            let (events, progress) = decide_progress(&contexts);
            let goes_back = contexts.iter().any(breaks);
            for (context, progress) in contexts.iter().zip(&progress) {
                self.check_evaluation(context, &events, progress, goes_back);
            }
            self.commit(&events);
        }
        self.watch_versions(seen);
        let closed: Vec<_> = self
            .state
            .services
            .values()
            .filter_map(|service| close_expired_window(service, self.now))
            .collect();
        self.commit(&closed);
    }

    /// Decides about the versions that no release judges: all have the findings of the observation of their service.
    fn watch_versions(&mut self, seen: &[Observation; 2]) {
        for (name, seen) in SERVICES.iter().zip(seen) {
            let before = self.state.clone();
            let Some(service) = before.services.get(*name) else { continue };
            let candidate = service.running().map(|release| &release.candidate);
            let versions = service.spec.versions.keys().filter(|it| Some(*it) != candidate);
            let watched: Vec<_> = versions
                .map(|version| WatchedVersion {
                    version: version.clone(),
                    findings: seen.verdict.findings().to_vec(),
                })
                .collect();
            let events = decide_version_watch(&before, service, self.now, &watched);
            if events.iter().any(|it| matches!(it, Event::StableRestored { .. })) {
                assert!(service.running().is_none(), "restored during a release");
                assert!(matches!(seen.verdict, Verdict::RollBack { .. }), "restored without cause");
                let previous = service.previous.as_ref().unwrap();
                assert!(!service.quarantined.contains_key(previous), "restored to quarantine");
            }
            self.commit(&events);
            let again = &self.state;
            let service = &again.services[*name];
            if matches!(seen.verdict, Verdict::RollBack { .. }) {
                continue;
            }
            assert_eq!(decide_version_watch(again, service, self.now, &watched), [], "twice");
            for version in service.alerts.keys() {
                assert!(service.spec.versions.contains_key(version), "alerts of {version}");
                assert_ne!(service.running().map(|it| &it.candidate), Some(version), "two alerts");
            }
        }
    }

    /// Checks the evaluation of one release; `goes_back` if a member of its group is rolled back.
    fn check_evaluation(
        &self,
        context: &ReleaseContext<'_>,
        events: &[Event],
        progress: &Progress,
        goes_back: bool,
    ) {
        let ReleaseContext { release, seen, .. } = context;
        let own: Vec<_> = events.iter().filter(|it| it.release() == Some(&release.id)).collect();
        let cause = match own.as_slice() {
            [Event::RolledBack { cause, .. }] => Some(cause),
            _ => None,
        };
        assert_eq!(goes_back, cause.is_some());
        let by_itself = matches!(cause, Some(RollbackCause::Guardrail { .. }));
        assert_eq!(breaks(context), by_itself);
        let moves = own.iter().any(|it| forward(it));
        assert_eq!(moves, progress.blockers.is_empty() && !goes_back);
        let broken = matches!(seen.verdict, Verdict::RollBack { .. });
        assert!(!moves || !broken || !release.overridden.is_empty(), "not overridden");
        let Convergence { acked, connected, nacked, .. } = seen.convergence;
        assert!(!moves || nacked == 0, "a NACK blocks");
        assert!(
            !moves || release.converged || acked == connected,
            "a pending sidecar blocks convergence"
        );
        let begins = own.iter().any(|it| matches!(it, Event::StepConverged { .. }));
        assert!(!begins || acked == connected && connected > 0, "a step begins with all sidecars");
        assert!(
            !begins || !moves && !release.converged,
            "a step begins once, and has then to last"
        );
        if moves {
            self.check_permitted(&release.id);
        }
    }

    /// Checks that every running release ends once all blockers are removed.
    fn check_ends(&self) {
        let mut model = self.clone();
        model.ask("anne", &Command::UnfreezeDeployments(None));
        let services = model.state.declared.values().cloned().collect();
        model.ask("anne", &configuration(services, Vec::new()));
        for service in SERVICES {
            model.ask("anne", &Command::UnfreezeDeployments(Some(name(service))));
        }
        let running: Vec<_> = model.state.running().cloned().collect();
        for release in &running {
            let (service, version) = (release.service.clone(), release.candidate.clone());
            for check in release.plan.requirements.checks.clone() {
                let (service, version) = (service.clone(), version.clone());
                let passed = true;
                let report = Command::ReportCheck { service, version, check, passed, url: None };
                model.ask("ci", &report);
            }
            let (kind, status) = (SignalKind::Business, SignalStatus::Ok);
            let signal = Signal { kind, version, name: name("orders"), status };
            model.ask("team", &Command::Signal { service, signal });
            model.ask(
                "tests",
                &Command::SmokeTested { release: release.id.clone(), result: Ok(()) },
            );
        }
        for _ in 0..20 {
            for release in &running {
                let all = |command| match model.state.group_of(&release.id) {
                    Some((group, _)) => Command::Group(group.clone(), command),
                    None => Command::Release(release.id.clone(), command),
                };
                let approve = all(ReleaseCommand::Approve { role: name("manager") });
                let resume = all(ReleaseCommand::Resume);
                // Only a promotion skips a failed hook.
                let failed = |call: &Call| matches!(call.end, CallState::Failed { .. });
                let given_up = model.state.release(&release.id);
                let given_up = given_up.filter(|it| it.calls.iter().any(failed));
                let onwards = given_up.map(|_| all(ReleaseCommand::Promote { all: false }));
                for who in ["dora", "emil", "fred"] {
                    model.ask(who, &approve);
                }
                model.ask("anne", &resume);
                if let Some(onwards) = onwards {
                    model.ask("anne", &onwards);
                }
                model.end_hooks(release.service.as_str(), &Ok(()));
                model.check_dns(release.service.as_str(), true);
            }
            model.now = model.now.after(Duration::from_secs(60));
            model.see(&[healthy(10), healthy(10)]);
        }
        assert_eq!(model.state.running().count(), 0, "stuck: {:#?}", model.state);
    }

    fn end_hooks(&mut self, service: &str, result: &Result<(), String>) {
        let due = self.state.services.get(service).into_iter().flat_map(|it| it.due_calls());
        for call in due.cloned().collect::<Vec<_>>() {
            let (release, hook, on) = (call.release, call.hook.name, call.hook.on);
            let result = result.clone();
            self.ask("hooks", &Command::HookEnded { release, hook, on, attempts: 1, result });
        }
    }

    fn check_dns(&mut self, service: &str, well: bool) {
        // The DNS updater reports confirmed records again only after a repair.
        let state = self.state.services.get(service).filter(|it| it.dns_update_pending());
        if let Some(records) = state.and_then(|service| service.desired_records()) {
            let result = if well { Ok(records) } else { Err("no connection".to_owned()) };
            self.ask("dns", &Command::DnsChecked { service: name(service), result });
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
            Move::Ask(actor, command) => self.ask(actor, &command),
            Move::Verb(actor, service, verb) => {
                if let Some(id) = newest(&self.state, service) {
                    self.ask(actor, &Command::Release(id, verb));
                }
            }
            Move::Smoke(service, result) => {
                if let Some(release) = newest(&self.state, service) {
                    self.ask("tests", &Command::SmokeTested { release, result });
                }
            }
            Move::Hooks(service, result) => self.end_hooks(service, &result),
            Move::Dns(service, well) => self.check_dns(service, well),
            Move::See(seen) => self.see(&seen),
            Move::Group(actor, verb) => self.ask(actor, &Command::Group(name(GROUP), verb)),
            Move::Wait(time) => self.now = self.now.after(time),
            Move::Crash => self.state = self.folded(),
        }
    }

    /// Checks that a snapshot restores the state.
    fn check_snapshot(&self) {
        let json = serde_json::to_string(&self.state).unwrap();
        let kept: State = serde_json::from_str(&json).unwrap();
        assert_eq!(kept, self.state);
        assert_eq!(serde_json::to_string(&kept).unwrap(), json);
    }

    /// The invariants.
    fn check(&self) {
        for service in self.state.services.values() {
            let versions = &service.spec.versions;
            assert!(versions.contains_key(&service.stable), "stable is gone");
            assert_ne!(service.previous.as_ref(), Some(&service.stable));
            assert!(!service.rolled_back.contains_key(&service.stable), "stable is rolled back");
            if let Some(previous) = &service.previous {
                assert!(versions.contains_key(previous), "previous is gone");
            }
            for environment in Environment::ALL {
                let held = |it: &&crate::model::catalogue::VersionSpec| {
                    it.environment == Some(environment)
                };
                assert!(versions.values().filter(held).count() <= 1, "{environment}");
            }
            let Some(release) = &service.release else {
                continue;
            };
            self.check_release(release);
        }
        self.check_groups();
    }

    fn check_release(&self, release: &crate::model::release::Release) {
        let service = &self.state.services[&release.service];
        if let Phase::Watching { holdback, .. } = release.phase {
            let configured = [None, Some(1000)].map(|rate| release.plan.holdback().share(rate));
            assert!(configured.contains(&holdback), "{holdback} are held back");
        } else {
            let planned = release.plan.steps.iter().map(|step| step.weight);
            let weights: Vec<_> = planned.chain([Ppm::ZERO]).collect();
            assert!(weights.contains(&release.weight()), "outside the plan");
        }

        let rollback = Command::Release(release.id.clone(), ReleaseCommand::Rollback);
        let decision = decide_command(&self.state, &command_context("anne", self.now), &rollback);
        if release.is_running() {
            let is_unsafe = service.quarantined.contains_key(&release.candidate);
            assert!(!is_unsafe, "a quarantined version is released");
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
            assert!(after.pinnable().all(|version| *version != release.candidate));
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
    fn releases_always_end_and_the_fold_equals_the_state(moves in moves()) {
        let mut model = Model {
            state: State::default(),
            now: Timestamp(1_000_000),
            journal: Vec::new(),
            ids: Vec::new(),
        };
        model.ask("anne", &configuration(vec![order_with_hooks(), named_product()], Vec::new()));
        for next in moves {
            model.step(next);
            model.check();
            assert_eq!(model.folded(), model.state);
        }
        model.check_ends();
        model.check_snapshot();
    }
}
