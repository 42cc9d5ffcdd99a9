//! Endpoints that receive traffic of users for the first time.

use super::entries::is_reached;
use crate::model::catalogue::Endpoint;
use crate::model::configuration::ServiceVersion;
use crate::model::state::{ServiceState, State};
use crate::names::VersionName;
use crate::units::Ppm;

/// The endpoints of versions that serve traffic in `after`, without those that the version had `before`.
#[must_use]
pub fn new_endpoints(before: &State, after: &State) -> Vec<(ServiceVersion, Endpoint)> {
    let mut new = Vec::new();
    for (name, service) in after.services.iter().filter(|(name, _)| is_reached(after, name)) {
        let old = before.services.get(name);
        for version in serving(service) {
            let of = |service: &ServiceState| {
                service.spec.versions.get(version).map(|it| it.endpoints.clone())
            };
            let known = old.and_then(|it| of(it)).unwrap_or_default();
            let added = of(service).unwrap_or_default();
            let version = ServiceVersion { service: name.clone(), version: version.clone() };
            let added = added.into_iter().filter(|it| !known.contains(it));
            new.extend(added.map(|endpoint| (version.clone(), endpoint)));
        }
    }
    new
}

/// The versions with a share of the traffic.
fn serving(service: &ServiceState) -> impl Iterator<Item = &VersionName> {
    let split = service.split();
    let candidate = split.candidate.filter(|(_, weight)| *weight > Ppm::ZERO);
    std::iter::once(split.stable).chain(candidate.map(|(version, _)| version))
}
