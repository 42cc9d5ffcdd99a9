//! One life of the server: its start, what happens in it, and its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate::config::{self, Config};
use tidegate::controller::{
    self, CommandError, DeliveryView, EvidenceSource, Handle, Origin, Parts,
};
use tidegate::effects::notify::Notifier;
use tidegate::effects::notify::stats::Stats;
use tidegate::effects::{Outbound, Pace, dns, hooks, notify, smoke};
use tidegate::journal::Sqlite;
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::configuration::{Source, Version};
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::{Ppm, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::mortal::{Mortal, Sent, Willing};
use super::outside::Outside;
use super::stories::Story;

/// What passes at a time, once nothing is left to do in it.
const TICK: Duration = Duration::from_secs(1);
/// So many ticks end any story.
const LONGEST: usize = 500;
/// What is not done after so long never will be.
const LONG: Duration = Duration::from_secs(30);
/// What a version serves in a tick.
const REQUESTS: u64 = 1000;
/// Quick to try again.
const HASTE: Pace = Pace { first: Duration::from_millis(1), longest: Duration::from_millis(20) };
/// The same for smoke tests; a silent candidate is not what these stories are about.
const PATIENCE: smoke::Patience = smoke::Patience {
    timeout: Duration::from_secs(30),
    tries: 3,
    backoff: Duration::from_millis(1),
};

/// How a life ended.
pub(crate) enum End {
    /// All of the story has happened.
    Over,
    /// Before its time.
    Killed,
}

/// It stopped answering.
struct Stopped;

struct Life<'a> {
    story: &'a Story,
    outside: &'a Outside,
    controller: Handle,
    counted: Counted,
    told: Arc<Stats>,
}

/// Starts the server on what an earlier life left, and tells the story on until one of them ends.
pub(crate) async fn live(
    story: &Story,
    outside: &Arc<Outside>,
    dir: &Path,
    sent: &Arc<Sent>,
) -> End {
    let config = config::check(&story.config(outside), dir);
    let config = config.unwrap_or_else(|problems| panic!("{problems:?}"));
    let Config {
        hash, data_dir: data, mesh, services, freeze_windows, notifications, flags, ..
    } = config;
    let (clock, counted) = (outside.clock(), Counted::default());
    let newest = Sqlite::open(&data).unwrap().head().seq;
    notify::begin(&data, &notifications, newest).unwrap();
    let parts = Parts {
        mesh: mesh.clone(),
        journal: Box::new(Mortal::open(&data, &outside.fuse, sent)),
        sidecars: Box::new(Willing(Arc::clone(sent))),
        evidence_source: Box::new(counted.clone()),
        clock: clock.clone(),
        services,
        freeze_windows,
        flags,
        version: Version { hash, source: Source::File },
        wake: Arc::default(),
    };
    // The start appends too: it may be what kills it.
    let controller = match tokio::task::spawn_blocking(|| controller::spawn(parts)).await {
        Ok(started) => started.unwrap(),
        Err(_) if outside.fuse.is_dead() => return End::Killed,
        Err(error) => panic!("{error}"),
    };
    let outbound = Outbound::new(clock.clone()).unwrap();
    let told = Arc::<Stats>::default();
    let notifier = Notifier {
        controller: controller.clone(),
        outbound: outbound.clone(),
        clock: clock.clone(),
        pace: HASTE,
        data_dir: data.clone(),
        stats: Arc::clone(&told),
    };
    let mut effects = JoinSet::new();
    // Neither changes in this life.
    let (_ways, previews) = watch::channel(smoke::Previews::of_mesh(&mesh));
    let (_receivers, receivers) = watch::channel(notifications);
    let tests = smoke::run(controller.clone(), previews, PATIENCE);
    effects.spawn(async { tests.await.unwrap() });
    effects.spawn(hooks::run(controller.clone(), outbound, HASTE));
    effects.spawn(dns::run(controller.clone(), clock, HASTE));
    effects.spawn(notifier.run(receivers));
    let life = Life { story, outside, controller, counted, told };
    let told = tokio::select! {
        told = life.tell() => told,
        () = outside.fuse.death() => Err(Stopped),
    };
    effects.shutdown().await;
    life.controller.stop().await;
    match told {
        Ok(()) if outside.fuse.is_condemned() => End::Killed,
        Ok(()) => End::Over,
        Err(Stopped) if outside.fuse.is_dead() => End::Killed,
        Err(Stopped) => panic!("{}: the server ended by itself", story.name),
    }
}

impl Life<'_> {
    /// Goes on with the story to its end: whenever nothing is left to do, operators ask for what
    /// they want, and if they want nothing time passes.
    async fn tell(&self) -> Result<(), Stopped> {
        for _ in 0..LONGEST {
            let settled = timeout(LONG, self.settled()).await;
            let view = settled.unwrap_or_else(|_| {
                panic!(
                    "{}: not done: {:#?}",
                    self.story.name,
                    self.controller.view().borrow().state
                )
            });
            if let Some(command) = (self.story.next)(&view.state) {
                match self.ask(command, "anne").await? {
                    Ok(()) => {}
                    Err(refused) => panic!("{}: {refused}", self.story.name),
                }
            } else if (self.story.over)(&view.state) {
                return Ok(());
            } else {
                self.counted.serve(&view, self.story.fails);
                self.outside.pass(TICK);
                self.look().await?;
            }
        }
        panic!("{} never ends: {:#?}", self.story.name, self.controller.view().borrow().progress)
    }

    /// Makes the controller look at the time: it does so after each command, also one that it
    /// refuses.
    async fn look(&self) -> Result<(), Stopped> {
        let nothing = Command::DeleteFlag { key: "none".to_owned() };
        self.ask(nothing, "time").await.map(|_| ())
    }

    async fn ask(&self, command: Command, who: &str) -> Result<Result<(), CommandError>, Stopped> {
        let origin = Origin { actor: who.to_owned(), reason: None };
        match self.controller.submit(command, origin).await {
            Err(CommandError::Stopped) => Err(Stopped),
            answer => Ok(answer.map(|_| ())),
        }
    }

    /// Waits until nothing is left to do in this moment.
    async fn settled(&self) -> Arc<DeliveryView> {
        loop {
            let view = Arc::clone(&*self.controller.view().borrow());
            if self.all_told(&view)
                && view.state.services.values().all(|service| is_settled(service))
            {
                return view;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn all_told(&self, view: &DeliveryView) -> bool {
        let told = self.told.all();
        let has_all = |counts: &AtomicU64| counts.load(Ordering::SeqCst) >= view.seq;
        !told.is_empty() && told.iter().all(|(_, counts)| has_all(&counts.told_up_to))
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

/// What versions did in this life: the next begins with nothing.
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

    fn time_since_gap(&self, _: Timestamp) -> Duration {
        Duration::MAX
    }
}
