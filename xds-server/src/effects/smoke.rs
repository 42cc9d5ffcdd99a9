//! Smoke tests: what a release asks of its candidate before it gets any traffic.
//!
//! Level-triggered: whatever release waits for its tests is tested, be it new or found so after a
//! restart; and what waits no longer, or moved, is left.

mod preview;
mod probe;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;

pub use self::preview::Previews;
pub use self::probe::Patience;
use self::probe::{Probe, Way};
use super::changes::next;
use super::deliver::deliver;
use super::under_way::UnderWay;
use crate::controller::Handle;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::release::Phase;
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::ReleaseId;

/// Requests under way at a time, for one release.
const CONCURRENCY: usize = 16;

/// Tests the candidates of releases until the controller stops.
///
/// # Errors
/// When no HTTP client can be made.
pub async fn run(
    controller: Handle,
    mut previews: watch::Receiver<Previews>,
    patience: Patience,
) -> Result<(), reqwest::Error> {
    let client = patience.client()?;
    let mut view = controller.view();
    let mut under_way = UnderWay::new();
    loop {
        let wanted = wanted(&view.borrow_and_update().state, &previews.borrow_and_update());
        under_way.follow(wanted, |release, probes| {
            let (controller, client) = (controller.clone(), client.clone());
            let requests = stream::iter(probes)
                .map(move |probe: Probe| probe.insist(client.clone(), patience))
                .buffer_unordered(CONCURRENCY);
            async move {
                // The first that fails decides.
                let result = requests.try_collect().await;
                let tested = Command::SmokeTested { release, result };
                deliver(&controller, "smoke tests", tested).await;
            }
        });
        tokio::select! {
            changed = view.changed() => if changed.is_err() {
                return Ok(());
            },
            () = next(&mut previews) => {}
        }
    }
}

/// Every test of every release that waits for them.
fn wanted(state: &State, previews: &Previews) -> BTreeMap<ReleaseId, Vec<Probe>> {
    state.services.values().filter_map(|service| wanted_of(service, previews)).collect()
}

/// Through every preview of the service, as its users would be served; where there is none, to
/// every endpoint.
fn wanted_of(service: &ServiceState, previews: &Previews) -> Option<(ReleaseId, Vec<Probe>)> {
    let release = service.running()?;
    if !matches!(release.phase, Phase::Preparing { tested: false, .. }) {
        return None;
    }
    let host = service.spec.hosts.first().map(ToString::to_string);
    let candidate = service.spec.versions.get(&release.candidate)?;
    let mut ways = previews.of(&release.service, &release.candidate);
    if ways.is_empty() {
        ways = candidate.endpoints.iter().map(Way::direct).collect();
    }
    let tests = &release.plan.smoke_tests;
    let probes =
        ways.iter().flat_map(|way| tests.iter().map(|test| Probe::new(way, host.as_ref(), test)));
    Some((release.id.clone(), probes.collect()))
}
