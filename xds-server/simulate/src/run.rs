//! One simulated release: the counts of each report are decided on as in the controller.

use std::time::Duration;

use tidegate_delivery::judge::history::{StableCounts, StableHistory};
use tidegate_delivery::judge::{Counted, Evidence, ReleaseJudge};
use tidegate_delivery::model::blocker::Blocker;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::command::{Command, CommandContext};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::fold_error::FoldError;
use tidegate_delivery::model::progress::{Convergence, Observation};
use tidegate_delivery::model::refusal::Refusal;
use tidegate_delivery::model::release::{Phase, Release, RollbackCause};
use tidegate_delivery::model::requirements::Requirements;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ServiceName, VersionName};
use tidegate_delivery::reducer::{ReleaseContext, decide_command, decide_progress};
use tidegate_delivery::units::{Ppm, Timestamp};

use crate::outcome::{End, Outcome, Point, VerdictKind};
use crate::scenario::{MAX_UNTIL, Scenario};
use crate::traffic::{Counts, REPORT, Traffic};

/// How long stable serves alone before the release.
const BEFORE: Duration = Duration::from_secs(30 * 60);
/// Decisions after each report, as in the controller.
const MAX_PASSES: usize = 2;
/// Points of a trace, at most: the last ones are left out.
const MAX_POINTS: usize = 20_000;

/// A service whose releases are simulated.
#[derive(Debug, Clone)]
pub struct Simulated {
    service: ServiceName,
    candidate: VersionName,
    state: State,
    spread: f64,
    /// The time of its plan.
    length: Duration,
}

/// Why a release cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The service has no version beside its stable one.
    #[error("service `{0}` has one version only; a release needs another one")]
    NoCandidate(ServiceName),
    /// The reducer refuses the release.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A decision contradicts the state, which is a bug.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

impl Simulated {
    /// Of a service as it is declared, without what is not simulated.
    ///
    /// # Errors
    /// If a release of its first other version would be refused.
    pub fn of(mut spec: ServiceSpec) -> Result<Self, SimulationError> {
        spec.plan.smoke_tests.clear();
        spec.plan.health = None;
        spec.plan.requirements = Requirements::default();
        spec.plan.steps.iter_mut().for_each(|step| step.approval = None);
        spec.hooks.clear();
        spec.dns = None;
        spec.guardrails.business.clear();
        spec.guardrails.queries.clear();
        let service = spec.name.clone();
        let others = spec.versions.iter().filter(|(name, _)| **name != spec.stable);
        let Some((candidate, of_candidate)) = others.into_iter().next() else {
            return Err(SimulationError::NoCandidate(service));
        };
        let candidate = candidate.clone();
        let instances = |count: usize| f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX));
        let of_stable = spec.versions.get(&spec.stable).map_or(1, |it| it.endpoints.len());
        let spread = instances(of_stable) / instances(of_candidate.endpoints.len());
        let length = spec.plan.stages(None).map(|(_, time)| time).sum();
        let mut state = State::default();
        state.apply(Timestamp(0), &Event::CatalogueApplied { services: vec![spec] })?;
        let simulated = Self { service, candidate, state, spread, length };
        simulated.started()?;
        Ok(simulated)
    }

    fn started(&self) -> Result<Vec<Event>, Refusal> {
        let now = Timestamp(0).after(BEFORE);
        let context = CommandContext { actor: "simulation", reason: None, at: now, wall: now };
        let command = Command::StartRelease {
            service: self.service.clone(),
            version: self.candidate.clone(),
            plan: None,
            commit: None,
        };
        Ok(decide_command(&self.state, &context, &command)?.0)
    }

    /// Simulates one release.
    ///
    /// # Errors
    /// If a decision contradicts the state, which is a bug.
    pub fn run(&self, scenario: &Scenario, seed: u64) -> Result<Outcome, SimulationError> {
        let mut run = Run::begin(self, scenario, seed);
        run.until_end(None)?;
        Ok(run.outcome())
    }

    /// Simulates one release, and keeps a point for each second.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn trace(
        &self,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<(Outcome, Vec<Point>), SimulationError> {
        let mut run = Run::begin(self, scenario, seed);
        let mut points = Vec::new();
        run.until_end(Some(&mut points))?;
        Ok((run.outcome(), points))
    }

    /// Simulates one release, and returns its event log with the declaration of the service.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn log(
        &self,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<Vec<(Timestamp, Event)>, SimulationError> {
        let mut run = Run::begin(self, scenario, seed);
        run.until_end(None)?;
        let services = self.state.services.values().map(|it| it.spec.clone()).collect();
        run.log.insert(0, (Timestamp(0), Event::CatalogueApplied { services }));
        Ok(run.log)
    }

    /// The longest simulated time of a run.
    #[must_use]
    pub fn until(&self, scenario: &Scenario) -> Duration {
        let default = self.length.saturating_mul(3).max(Duration::from_secs(60));
        scenario.until.unwrap_or(default).min(MAX_UNTIL)
    }
}

struct Run<'a> {
    of: &'a Simulated,
    traffic: Traffic<'a>,
    until: Duration,
    now: Timestamp,
    /// When the candidate received its first request.
    first: Option<Timestamp>,
    state: State,
    counted: Counted,
    history: StableHistory,
    judge: Option<ReleaseJudge>,
    verdict: VerdictKind,
    blocker: &'static str,
    alerted: bool,
    /// The candidate's last weight.
    weight: Ppm,
    log: Vec<(Timestamp, Event)>,
}

impl<'a> Run<'a> {
    /// Stable serves alone for a while.
    fn begin(of: &'a Simulated, scenario: &'a Scenario, seed: u64) -> Self {
        let mut run = Self {
            of,
            traffic: Traffic::new(scenario, seed),
            until: of.until(scenario),
            now: Timestamp(0),
            first: None,
            state: of.state.clone(),
            counted: Counted::default(),
            history: StableHistory::default(),
            judge: None,
            verdict: VerdictKind::Inconclusive,
            blocker: "none",
            alerted: false,
            weight: Ppm::ZERO,
            log: Vec::new(),
        };
        while run.now.since(Timestamp(0)) < BEFORE {
            run.report();
        }
        run
    }

    fn until_end(&mut self, mut points: Option<&mut Vec<Point>>) -> Result<(), SimulationError> {
        let started = self.of.started()?;
        self.commit(started)?;
        let begin = self.now;
        let mut last = [self.counted; 2];
        while self.release().is_some() && self.now.since(begin) < self.until {
            self.report();
            for _ in 0..MAX_PASSES {
                if !self.decide()? {
                    break;
                }
            }
            let elapsed = self.now.since(begin);
            if let Some(points) = points.as_deref_mut().filter(|it| it.len() < MAX_POINTS)
                && elapsed.subsec_millis() == 0
            {
                if elapsed.as_secs().is_multiple_of(10) {
                    let [_, latest] = last;
                    last = [latest, self.counted];
                }
                let [before, _] = last;
                points.push(self.point(elapsed, before));
            }
        }
        Ok(())
    }

    /// The running release.
    fn release(&self) -> Option<&Release> {
        self.state.services.get(&self.of.service)?.running()
    }

    fn report(&mut self) {
        self.now = self.now.after(REPORT);
        let Some(service) = self.state.services.get(&self.of.service) else { return };
        let weight = service.running().map_or(Ppm::ZERO, Release::weight);
        if weight > Ppm::ZERO && self.first.is_none() {
            self.first = Some(self.now);
        }
        let at = self.first.map(|it| self.now.since(it));
        let limits = &service.spec.guardrails.latency;
        let Counts { candidate, stable } = self.traffic.report(at, weight.fraction(), limits);
        add(&mut self.counted.candidate, &candidate);
        add(&mut self.counted.stable, &stable);
        let all = &self.counted.stable;
        let of_stable = StableCounts {
            failures: all.first_failures(),
            client_failures: all.client_failures(),
            slower: all.slower,
        };
        self.history.observe(self.now, &service.spec.stable, of_stable);
    }

    /// Evaluates the release. True if something was decided.
    fn decide(&mut self) -> Result<bool, SimulationError> {
        let state = self.state.clone();
        let Some(service) = state.services.get(&self.of.service) else { return Ok(false) };
        let Some(release) = service.running() else { return Ok(false) };
        let Some(judge) = &mut self.judge else { return Ok(false) };
        let guardrails = &service.spec.guardrails;
        judge.observe(self.now, self.counted, guardrails, &self.history, 1);
        let verdict = judge.verdict(guardrails, &release.alerts);
        self.verdict = VerdictKind::from(&verdict);
        let Counted { candidate, stable } = judge.since_step();
        let convergence = Convergence { acked: 1, connected: 1, ..Convergence::default() };
        let seen = Observation {
            verdict,
            dry_run: judge.dry_run_findings(guardrails, &release.dry_run),
            queries: Vec::new(),
            candidate,
            stable,
            counted_for: judge.step_duration(),
            convergence,
            coverage_remaining: Duration::ZERO,
        };
        let (now, wall) = (self.now, self.now);
        let context = ReleaseContext { state: &state, service, release, now, wall, seen: &seen };
        let (events, progress) = decide_progress(&[context]);
        let blockers = progress.into_iter().flat_map(|it| it.blockers);
        self.blocker =
            blockers.map(|it| kind(&it)).min_by_key(|it| *it == "time").unwrap_or("none");
        let decided = !events.is_empty();
        self.commit(events)?;
        Ok(decided)
    }

    fn commit(&mut self, events: Vec<Event>) -> Result<(), SimulationError> {
        for event in &events {
            self.state.apply(self.now, event)?;
        }
        for event in events {
            match &event {
                Event::ReleaseStarted { .. } | Event::StepEntered { .. } => self.enter_step(),
                Event::StepConverged { .. } => {
                    if let Some(judge) = &mut self.judge {
                        judge.begin_evidence(self.now, self.counted, &self.history);
                    }
                }
                Event::AlertRaised { .. } => self.alerted = true,
                _ => {}
            }
            self.log.push((self.now, event));
        }
        Ok(())
    }

    fn enter_step(&mut self) {
        let Some(service) = self.state.services.get(&self.of.service) else { return };
        let Some(release) = service.running() else { return };
        let (now, counted, weight) = (self.now, self.counted, release.weight());
        self.weight = weight;
        match &mut self.judge {
            Some(judge) => judge.enter_step(now, weight, counted, &self.history),
            None => {
                let guardrails = &service.spec.guardrails;
                let spread = self.of.spread;
                let history = &self.history;
                let judge = ReleaseJudge::begin(now, weight, spread, counted, guardrails, history);
                self.judge = Some(judge);
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let release = self.state.services.get(&self.of.service).and_then(|it| it.release.as_ref());
        let (end, at) = match release.map(|it| (&it.phase, it.paused_by_guardrail.as_ref())) {
            Some((Phase::Completed { at }, _)) => (End::Completed, *at),
            Some((Phase::RolledBack { at, cause: RollbackCause::Guardrail { finding } }, _)) => {
                (End::RolledBack { guardrail: finding.guardrail.clone() }, *at)
            }
            Some((_, Some(finding))) => {
                let guardrail = finding.guardrail.clone();
                let at = release.and_then(|it| it.paused_at).unwrap_or(self.now);
                (End::RolledBack { guardrail }, at)
            }
            _ => (End::Held { blocker: self.blocker }, self.now),
        };
        Outcome {
            end,
            after: self.first.map_or(Duration::ZERO, |first| at.since(first)),
            weight: self.weight,
            alerted: self.alerted,
            failures: self.counted.candidate.failures().bad,
            harmed: self.traffic.harmed(),
        }
    }

    fn point(&self, elapsed: Duration, before: Counted) -> Point {
        let rate = |now: &Evidence, before: &Evidence| now.since(before).failures().rate();
        let service = self.state.services.get(&self.of.service);
        let levels = service
            .zip(self.judge.as_ref())
            .map(|(service, judge)| judge.evidence_levels(&service.spec.guardrails, 1));
        let evidence = levels.map_or(0.0, |it| {
            let all = 2.0 / 3.0 * it.compared + it.limit / 3.0;
            (all.max(1.0).ln() / it.needed.ln()).clamp(0.0, 1.0)
        });
        let weight = self.release().map_or(0.0, |it| it.weight().fraction());
        Point {
            second: elapsed.as_secs_f64(),
            weight,
            candidate: rate(&self.counted.candidate, &before.candidate),
            stable: rate(&self.counted.stable, &before.stable),
            evidence,
            verdict: self.verdict,
        }
    }
}

/// The simulated counts.
fn add(sum: &mut Evidence, more: &Evidence) {
    sum.requests = sum.requests.saturating_add(more.requests);
    sum.errors = sum.errors.saturating_add(more.errors);
    sum.repeated = sum.repeated.plus(more.repeated);
    sum.slow.warning = sum.slow.warning.saturating_add(more.slow.warning);
    sum.slow.critical = sum.slow.critical.saturating_add(more.slow.critical);
    sum.slow.rollback = sum.slow.rollback.saturating_add(more.slow.rollback);
    sum.slower.all = sum.slower.all.saturating_add(more.slower.all);
    for (sum, more) in sum.slower.bad.iter_mut().zip(more.slower.bad) {
        *sum = sum.saturating_add(more);
    }
}

/// The kinds of blockers that occur in a simulation.
const fn kind(blocker: &Blocker) -> &'static str {
    match blocker {
        Blocker::Time { .. } => "time",
        Blocker::Requests { .. } => "requests",
        Blocker::Alert { .. } | Blocker::UnclearedAlert { .. } => "alert",
        Blocker::AtLimit { .. } => "at the alert limit",
        Blocker::Inconclusive { .. } => "inconclusive",
        _ => "other",
    }
}

/// The seed of a run: neighbouring runs and seeds have unrelated ones (SplitMix64).
#[must_use]
pub const fn seed_of(seed: u64, run: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(run.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
