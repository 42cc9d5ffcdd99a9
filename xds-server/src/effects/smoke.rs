//! Smoke tests: requests that a candidate must answer before it receives traffic.
//!
//! Every release that waits for its tests is tested, also after a restart. Tests of a release that has ended or changed
//! are aborted.

mod probe;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Client;
use tokio::sync::watch;

pub use self::probe::RetryPolicy;
use self::probe::{Probe, Target};
use super::keyed_tasks::KeyedTasks;
use super::submit::submit;
use super::supervisor::{Supervisor, Task};
use crate::controller::Handle;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::release::Phase;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_xds::mesh::{Fleet, Listener, Mesh, PreviewKey, Purpose};

/// Requests in flight, per release.
const CONCURRENCY: usize = 16;

/// The preview listeners of a mesh, and the key that they require. They route to a candidate that has no traffic yet.
#[derive(Debug, Clone)]
pub struct Previews {
    key: PreviewKey,
    listeners: Vec<Listener>,
}

impl Previews {
    /// The preview listeners of all fleets.
    #[must_use]
    pub fn of_mesh(mesh: &Mesh) -> Self {
        let listeners = mesh.fleets.iter().flat_map(Fleet::listeners);
        Self {
            key: mesh.preview_key.clone(),
            listeners: listeners.filter(|it| it.purpose == Purpose::Preview).cloned().collect(),
        }
    }

    /// One target for each listener of a service.
    fn of(&self, service: &ServiceName, version: &VersionName) -> Vec<Target> {
        let listeners = self.listeners.iter().filter(|it| it.services.include(service));
        listeners.map(|it| Target::preview(it.address, &self.key, version)).collect()
    }
}

/// Tests the candidates of releases until the controller stops.
///
/// # Errors
/// If the HTTP client cannot be built.
pub async fn run(
    controller: Handle,
    previews: watch::Receiver<Previews>,
    policy: RetryPolicy,
    supervisor: Supervisor,
) -> Result<(), reqwest::Error> {
    let tester = SmokeTester { controller: controller.clone(), client: policy.client()?, policy };
    let start = || test_candidates(tester.clone(), previews.clone(), supervisor.clone());
    supervisor.run_until_stopped(Task::SmokeTests, &controller, start).await;
    Ok(())
}

async fn test_candidates(
    tester: SmokeTester,
    mut previews: watch::Receiver<Previews>,
    supervisor: Supervisor,
) {
    let mut view = tester.controller.view();
    let test = move |release: ReleaseId, probes: Vec<Probe>| {
        let tester = tester.clone();
        async move { tester.test(release, probes).await }
    };
    let mut tasks = KeyedTasks::new(Task::SmokeTests, supervisor, test);
    loop {
        let wanted = wanted(&view.borrow_and_update().state, &previews.borrow_and_update());
        tasks.update(wanted);
        tokio::select! {
            changed = view.changed() => if changed.is_err() {
                return;
            },
            Ok(()) = previews.changed() => {}
        }
    }
}

#[derive(Clone)]
struct SmokeTester {
    controller: Handle,
    client: Client,
    policy: RetryPolicy,
}

impl SmokeTester {
    /// Runs all tests of a release, and submits the first failure, or the success of all.
    async fn test(&self, release: ReleaseId, probes: Vec<Probe>) {
        let result = stream::iter(probes)
            .map(|probe| probe.run(self.client.clone(), self.policy))
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await;
        submit(&self.controller, "smoke tests", Command::SmokeTested { release, result }).await;
    }
}

/// The tests of every release that waits for them.
fn wanted(state: &State, previews: &Previews) -> BTreeMap<ReleaseId, Vec<Probe>> {
    state.services.values().filter_map(|service| wanted_of(service, previews)).collect()
}

/// Tests go through every preview listener of the service, as user requests do; without one, to every endpoint.
fn wanted_of(service: &ServiceState, previews: &Previews) -> Option<(ReleaseId, Vec<Probe>)> {
    let release = service.running()?;
    if !matches!(release.phase, Phase::Preparing { tested: false, .. }) {
        return None;
    }
    let host = service.spec.hosts.first().map(ToString::to_string);
    let candidate = service.spec.versions.get(&release.candidate)?;
    let mut targets = previews.of(&release.service, &release.candidate);
    if targets.is_empty() {
        targets = candidate.endpoints.iter().map(Target::direct).collect();
    }
    let tests = &release.plan.smoke_tests;
    let probes = targets
        .iter()
        .flat_map(|target| tests.iter().map(|test| Probe::new(target, host.as_ref(), test)));
    Some((release.id.clone(), probes.collect()))
}
