//! The routes of services in an Istio mesh, as the filter selects them.

use tidegate_core::config::BUCKETS;
use tidegate_core::config::istio::{
    IstioService, IstioTarget as Target, IstioVersion, RouteToken, Share,
};

use crate::tokens::TokenKey;
use tidegate_delivery::model::istio::IstioTarget;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{ServiceName, VersionName};
use tidegate_delivery::units::Ppm;

/// The routes of a service and its split; `None` if Istio does not route it, a version has no target there, or the
/// stable one is not deployed.
pub(super) fn service(
    name: &ServiceName,
    service: &ServiceState,
    key: &TokenKey,
) -> Option<IstioService> {
    let split = split(service)?;
    with_split(name, service, key, split)
}

/// The largest configuration of a service that its releases can lead to without a change of its versions.
pub(super) fn largest_service(name: &ServiceName, service: &ServiceState) -> Option<IstioService> {
    let mut split: Vec<_> = service.spec.versions.keys().zip(1..).collect();
    split.last_mut()?.1 = BUCKETS;
    // The length of a token does not depend on the key.
    with_split(name, service, &TokenKey::new([0; 32]), split)
}

fn with_split(
    name: &ServiceName,
    service: &ServiceState,
    key: &TokenKey,
    split: Vec<(&VersionName, u32)>,
) -> Option<IstioService> {
    let istio = service.spec.istio.as_ref()?;
    let versions = service.spec.versions.iter().map(|(version, spec)| {
        let target = match spec.istio.as_ref()? {
            IstioTarget::Subset(subset) => Target::Subset(subset.name.to_string()),
            IstioTarget::Host(host) => Target::Host(host.to_string()),
        };
        #[expect(clippy::expect_used, reason = "the format of tokens is fixed; a test reads one")]
        let token = RouteToken::try_from(key.token(name, version, spec)).expect("a token");
        Some(IstioVersion { name: version.to_string(), target, token })
    });
    Some(IstioService {
        service: name.to_string(),
        host: istio.host.to_string(),
        port: istio.port.get(),
        versions: versions.collect::<Option<_>>()?,
        split: split
            .into_iter()
            .map(|(version, below)| Share { version: version.to_string(), below })
            .collect(),
    })
}

/// The versions with the first bucket above their share. The candidate is first, so that each user changes version at most
/// once while its weight increases.
fn split(service: &ServiceState) -> Option<Vec<(&VersionName, u32)>> {
    let is_deployed = |version: &VersionName| service.spec.versions.contains_key(version);
    let split = service.split();
    let candidate = split.candidate.filter(|(version, _)| is_deployed(version));
    let candidate = candidate.filter(|(_, weight)| *weight > Ppm::ZERO);
    let mut shares: Vec<_> =
        candidate.iter().map(|(version, weight)| (*version, weight.parts())).collect();
    if candidate.is_none_or(|(_, weight)| weight < Ppm::ALL) {
        if !is_deployed(split.stable) {
            return None;
        }
        shares.push((split.stable, BUCKETS));
    }
    Some(shares)
}
