//! Resolution of the DNS names of endpoints, so that `status` names a version that does not resolve.
//!
//! Envoy resolves the names itself, and may get other answers than the control plane. A failure is therefore shown and
//! logged, and decides nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::supervisor::{Supervisor, Task};
use crate::controller::Handle;
use tidegate_delivery::model::catalogue::VersionSpec;
use tidegate_delivery::model::state::State;

/// Time between two rounds of lookups.
const INTERVAL: Duration = Duration::from_secs(15);
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Concurrent lookups: each occupies a thread.
const CONCURRENCY: usize = 8;
/// Most names in a round.
const MAX_NAMES: usize = 1000;

/// The names that did not resolve in the last round.
#[derive(Debug, Default)]
pub struct UnresolvedNames(Mutex<Arc<BTreeSet<String>>>);

impl UnresolvedNames {
    /// The names.
    #[must_use]
    pub fn get(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.0.lock())
    }

    fn set(&self, names: BTreeSet<String>) {
        let names = Arc::new(names);
        let before = std::mem::replace(&mut *self.0.lock(), Arc::clone(&names));
        for name in names.difference(&before) {
            warn!(name, "the name of an endpoint does not resolve");
        }
        for name in before.difference(&names) {
            info!(name, "the name of an endpoint resolves again, or is no longer configured");
        }
    }
}

/// Resolves the names of all versions in rounds, until the controller stops.
pub async fn run(controller: Handle, unresolved: Arc<UnresolvedNames>, supervisor: Supervisor) {
    let rounds = || async {
        let view = controller.view();
        while view.has_changed().is_ok() {
            let state = Arc::clone(&view.borrow().state);
            unresolved.set(resolve(names(&state)).await);
            sleep(INTERVAL).await;
        }
    };
    supervisor.run_until_stopped(Task::Names, &controller, rounds).await;
}

/// The endpoints of all versions that are names.
fn names(state: &State) -> BTreeSet<String> {
    let specs = state.services.values().flat_map(|service| service.spec.versions.values());
    let hosts = specs.flat_map(VersionSpec::hosts);
    let names = hosts.filter(|host| host.parse::<IpAddr>().is_err());
    names.take(MAX_NAMES).cloned().collect()
}

/// Those that do not resolve.
async fn resolve(names: BTreeSet<String>) -> BTreeSet<String> {
    let failures = stream::iter(names).map(async |name| (!resolves(&name).await).then_some(name));
    failures.buffer_unordered(CONCURRENCY).filter_map(async |name| name).collect().await
}

async fn resolves(name: &str) -> bool {
    match timeout(TIMEOUT, lookup_host((name, 0))).await {
        Ok(Ok(mut addresses)) => addresses.next().is_some(),
        Ok(Err(_)) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_delivery::fixtures::declared;
    use tidegate_delivery::model::catalogue::Endpoint;

    #[tokio::test]
    async fn names_that_do_not_resolve_are_found() {
        let mut state = declared();
        let service = state.services.values_mut().next().unwrap();
        let version = Arc::make_mut(service).spec.versions.values_mut().next().unwrap();
        for host in ["::1", "localhost", "no-such-name.invalid"] {
            version.endpoints.push(Endpoint { host: host.to_owned(), port: 1 });
        }
        let names = names(&state);
        assert_eq!(names, ["localhost", "no-such-name.invalid"].map(str::to_owned).into());
        assert_eq!(resolve(names).await, ["no-such-name.invalid".to_owned()].into());
    }
}
