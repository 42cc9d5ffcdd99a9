//! One run of the server, from its start to its crash or to the end of the scenario.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate::config::{self, Config};
use tidegate::controller::{
    self, CommandError, DeliveryView, EvidenceSource, Handle, Origin, Parts, Recount, RollbackTimes,
};
use tidegate::effects::notifier::stats::DeliveryStats;
use tidegate::effects::notifier::{self, Notifier};
use tidegate::effects::{Backoff, Supervisor, WebhookClient, dns, hooks, smoke};
use tidegate::journal::Sqlite;
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::StableCounts;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::flag::FlagChange;
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Ppm;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::crashing_journal::{AckingSidecars, CrashingJournal, Publications};
use super::environment::Environment;
use super::scenarios::Scenario;

/// The step of the clock, once the server has nothing left to do.
const TICK: Duration = Duration::from_secs(1);
/// Above the number of steps of any scenario.
const MAX_STEPS: usize = 500;
/// The timeout for the server to have nothing left to do.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The requests to a version per step of the clock.
const REQUESTS: u64 = 1000;
/// Quick to try again.
const FAST: Backoff = Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(20) };
/// The same for smoke tests; a silent candidate is not what these scenarios are about.
const SMOKE_TESTS: smoke::RetryPolicy = smoke::RetryPolicy {
    timeout: Duration::from_secs(30),
    attempts: 3,
    backoff: Duration::from_millis(1),
};

/// How a run ended.
pub(crate) enum RunEnd {
    /// The scenario is completed.
    Completed,
    /// The server crashed.
    Crashed,
}

/// The controller has stopped.
struct Stopped;

struct ServerRun<'a> {
    scenario: &'a Scenario,
    environment: &'a Environment,
    controller: Handle,
    counted: Counted,
    delivery_stats: Arc<DeliveryStats>,
}

/// Starts the server on the files of the run before, and continues the scenario.
pub(crate) async fn run_server(
    scenario: &Scenario,
    environment: &Arc<Environment>,
    dir: &Path,
    sent: &Arc<Publications>,
) -> RunEnd {
    let config = config::check(&scenario.config(environment), dir);
    let config = config.unwrap_or_else(|problems| panic!("{problems:?}"));
    let Config {
        hash, data_dir: data, mesh, services, freeze_windows, notifications, flags, ..
    } = config;
    let (clock, counted) = (environment.clock(), Counted::default());
    let newest = Sqlite::open(&data).unwrap().head().seq;
    notifier::initialize(&data, &notifications, newest).unwrap();
    let parts = Parts {
        mesh: mesh.clone(),
        journal: Box::new(CrashingJournal::open(&data, &environment.crash_trigger, sent)),
        sidecars: Box::new(AckingSidecars(Arc::clone(sent))),
        evidence_source: Box::new(counted.clone()),
        clock: clock.clone(),
        services,
        freeze_windows,
        flags,
        version: Version { hash, source: Source::File },
        wake: Arc::default(),
        rollback_times: RollbackTimes::default(),
    };
    // The start appends as well, so it may crash.
    let controller = match tokio::task::spawn_blocking(|| controller::spawn(parts)).await {
        Ok(started) => started.unwrap(),
        Err(_) if environment.crash_trigger.has_crashed() => return RunEnd::Crashed,
        Err(error) => panic!("{error}"),
    };
    let webhooks = WebhookClient::new(clock.clone()).unwrap();
    let delivery_stats = Arc::<DeliveryStats>::default();
    let supervisor = Supervisor::new(FAST);
    let notifier = Notifier {
        controller: controller.clone(),
        webhooks: webhooks.clone(),
        clock: clock.clone(),
        backoff: FAST,
        data_dir: data.clone(),
        stats: Arc::clone(&delivery_stats),
        supervisor: supervisor.clone(),
    };
    let mut effects = JoinSet::new();
    // Neither changes in this run.
    let (_ways, previews) = watch::channel(smoke::Previews::of_mesh(&mesh));
    let (_receivers, receivers) = watch::channel(notifications);
    let tests = smoke::run(controller.clone(), previews, SMOKE_TESTS, supervisor.clone());
    effects.spawn(async { tests.await.unwrap() });
    effects.spawn(hooks::run(controller.clone(), webhooks, FAST, supervisor.clone()));
    effects.spawn(dns::run(controller.clone(), clock, FAST, supervisor));
    effects.spawn(notifier.run(receivers));
    let run = ServerRun { scenario, environment, controller, counted, delivery_stats };
    let result = tokio::select! {
        result = run.execute() => result,
        () = environment.crash_trigger.wait_for_crash() => Err(Stopped),
    };
    effects.shutdown().await;
    run.controller.stop().await;
    match result {
        Ok(()) if environment.crash_trigger.is_crash_pending() => RunEnd::Crashed,
        Ok(()) => RunEnd::Completed,
        Err(Stopped) if environment.crash_trigger.has_crashed() => RunEnd::Crashed,
        Err(Stopped) => panic!("{}: the controller stopped without a crash", scenario.name),
    }
}

impl ServerRun<'_> {
    /// Continues the scenario to its end. Whenever the server has nothing left to do, an operator sends the next command, or
    /// without one the clock advances.
    async fn execute(&self) -> Result<(), Stopped> {
        for _ in 0..MAX_STEPS {
            let settled = timeout(SETTLE_TIMEOUT, self.settled()).await;
            let view = settled.unwrap_or_else(|_| {
                panic!(
                    "{}: not settled: {:#?}",
                    self.scenario.name,
                    self.controller.view().borrow().state
                )
            });
            if let Some(command) = (self.scenario.next)(&view.state) {
                match self.submit(command, "anne").await? {
                    Ok(()) => {}
                    Err(error) => panic!("{}: {error}", self.scenario.name),
                }
            } else if (self.scenario.completed)(&view.state) {
                return Ok(());
            } else {
                self.counted.serve(&view, self.scenario.fails);
                self.environment.advance(TICK);
                self.evaluate().await?;
            }
        }
        panic!(
            "{} does not end: {:#?}",
            self.scenario.name,
            self.controller.view().borrow().progress
        )
    }

    /// Makes the controller evaluate the releases, as it does after each command, also a rejected one.
    async fn evaluate(&self) -> Result<(), Stopped> {
        let nothing = FlagChange::Delete { key: "none".to_owned() }.into();
        self.submit(nothing, "time").await.map(|_| ())
    }

    async fn submit(
        &self,
        command: Command,
        who: &str,
    ) -> Result<Result<(), CommandError>, Stopped> {
        let origin = Origin { actor: who.to_owned(), reason: None };
        match self.controller.submit(command, origin).await {
            Err(CommandError::Stopped) => Err(Stopped),
            answer => Ok(answer.map(|_| ())),
        }
    }

    /// Waits until the server has nothing left to do at the current time.
    async fn settled(&self) -> Arc<DeliveryView> {
        loop {
            let view = Arc::clone(&*self.controller.view().borrow());
            if self.all_delivered(&view)
                && view.state.services.values().all(|service| is_settled(service))
            {
                return view;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn all_delivered(&self, view: &DeliveryView) -> bool {
        let receivers = self.delivery_stats.all();
        let has_all = |counts: &AtomicU64| counts.load(Ordering::SeqCst) >= view.seq;
        !receivers.is_empty() && receivers.iter().all(|(_, stats)| has_all(&stats.position))
    }
}

fn is_settled(service: &ServiceState) -> bool {
    let moves = |release: &Release| {
        let untested = matches!(release.phase, Phase::Preparing { tested: false, .. });
        untested || (release.step().is_some() && !release.converged)
    };
    let called = service.due_calls().next().is_none();
    called && !service.dns_update_pending() && !service.running().is_some_and(moves)
}

/// The counts of this run. The next run starts at zero, as after a restart.
#[derive(Debug, Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<(ServiceName, VersionName), Evidence>>>);

impl Counted {
    fn serve(&self, view: &DeliveryView, fails: fn(&Release) -> bool) {
        let mut counted = self.0.lock();
        for release in view.state.running() {
            let mut serve = |version: &VersionName, errors: u64| {
                let key = (release.service.clone(), version.clone());
                let evidence = counted.entry(key).or_default();
                evidence.requests += REQUESTS;
                evidence.errors += errors;
            };
            serve(&release.stable, 0);
            if release.weight() > Ppm::ZERO {
                serve(&release.candidate, if fails(release) { REQUESTS } else { 0 });
            }
        }
    }
}

impl EvidenceSource for Counted {
    fn evidence(
        &self,
        _: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
        _: &Guardrails,
    ) -> Evidence {
        let counted = self.0.lock();
        counted.get(&(service.clone(), version.clone())).copied().unwrap_or_default()
    }

    fn recount(
        &self,
        release: &ReleaseId,
        service: &ServiceName,
        version: &VersionName,
    ) -> Recount {
        let counted = self.evidence(release, service, version, &Guardrails::default());
        Box::new(move |_| counted)
    }

    fn of_stable(&self, service: &ServiceName, stable: &VersionName) -> StableCounts {
        let counted = self.0.lock().get(&(service.clone(), stable.clone())).copied();
        StableCounts::of_failures(counted.unwrap_or_default().failures())
    }
}
