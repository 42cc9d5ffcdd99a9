//! All resources of one fleet.

use std::sync::Arc;

use tidegate_core::config::FilterConfig;

use super::{Resource, cluster, endpoint, extension, listener, names, preview, route};
use crate::mesh::{Fleet, Mesh, Purpose};
use tidegate_delivery::model::state::{ServiceState, State};
use tidegate_delivery::names::ServiceName;

/// One service, as the builders see it.
pub(super) type Service<'a> = (&'a ServiceName, &'a ServiceState);

/// Everything that one fleet is to have, and what its filters are told. `share` replaces a resource
/// by one with the same content that exists already.
pub(super) fn build(
    mesh: &Mesh,
    fleet: &Fleet,
    state: &State,
    mut share: impl FnMut(Resource) -> Arc<Resource>,
) -> (Vec<Arc<Resource>>, FilterConfig) {
    let services: Vec<Service<'_>> =
        state.services.iter().filter(|(name, _)| serves(fleet, name)).collect();
    let mut resources = Vec::new();
    for (name, service) in &services {
        for (version, spec) in &service.spec.versions {
            resources.push(share(cluster::cluster(name, version, spec)));
            resources.extend(endpoint::endpoints(name, version, spec).map(&mut share));
        }
        resources.push(share(route::of_service(name, service)));
        // Listeners of ours serve Envoys, which have no use for these.
        if fleet.listeners.is_empty() {
            resources.push(share(listener::api_listener(name)));
            resources.push(share(route::of_grpc(name, service)));
        }
    }
    for listener in &fleet.listeners {
        let included: Vec<Service<'_>> =
            services.iter().copied().filter(|(name, _)| listener.services.include(name)).collect();
        resources.push(share(listener::listener(&fleet.name, listener)));
        let routes = names::listener_routes(&fleet.name, &listener.name);
        resources.push(share(match listener.purpose {
            Purpose::Traffic => route::of_listener(&routes, &included),
            Purpose::Preview => preview::routes(&routes, &included, &mesh.preview_key),
        }));
    }
    let config = extension::config(&fleet.name, &services, state);
    resources.push(share(extension::filter(mesh, &config)));
    (resources, config)
}

/// Whether a fleet has to do with a service: it is told of no others.
fn serves(fleet: &Fleet, service: &ServiceName) -> bool {
    let mut listeners = fleet.listeners.iter();
    fleet.listeners.is_empty() || listeners.any(|listener| listener.services.include(service))
}
