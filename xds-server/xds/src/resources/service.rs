//! The resources of one service, built once for each state of the service and shared by all fleets.

use std::sync::Arc;

use tidegate_core::config::ServiceConfig;
use tidegate_core::config::istio::IstioService;

use super::{Part, Resource, cluster, extension, istio, listener, preview, route};
use crate::mesh::Mesh;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ServiceName;

/// The resources of one service, and the state from which they were built.
#[derive(Debug)]
pub(super) struct ServiceResources {
    pub(super) state: Arc<ServiceState>,
    pub(super) clusters: Vec<Arc<Resource>>,
    pub(super) endpoints: Vec<Arc<Resource>>,
    /// Virtual host in listeners of fleets.
    pub(super) virtual_host: Part,
    /// Virtual host in preview listeners.
    pub(super) preview: Part,
    /// Route configuration for foreign listeners.
    pub(super) routes: Arc<Resource>,
    /// Route configuration for gRPC clients.
    pub(super) grpc_routes: Arc<Resource>,
    /// API listener for gRPC clients.
    pub(super) api_listener: Arc<Resource>,
    /// The service in the filter's configuration.
    pub(super) filter: ServiceConfig,
    /// Its routes in an Istio mesh.
    pub(super) istio: Option<IstioService>,
}

/// The kinds of resources that differ between two builds of the same service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) clusters: bool,
    pub(super) endpoints: bool,
    pub(super) routes: bool,
    pub(super) filter: bool,
    pub(super) istio: bool,
}

impl Changes {
    pub(super) const ALL: Self =
        Self { clusters: true, endpoints: true, routes: true, filter: true, istio: true };

    pub(super) const fn or(self, other: Self) -> Self {
        Self {
            clusters: self.clusters || other.clusters,
            endpoints: self.endpoints || other.endpoints,
            routes: self.routes || other.routes,
            filter: self.filter || other.filter,
            istio: self.istio || other.istio,
        }
    }
}

impl ServiceResources {
    /// Builds the resources of a state. Resources with the same content as in `before` are shared with it.
    pub(super) fn build(
        name: &ServiceName,
        state: &Arc<ServiceState>,
        mesh: &Mesh,
        before: Option<&Self>,
    ) -> Self {
        let mut clusters = Vec::new();
        let mut endpoints = Vec::new();
        for (version, spec) in &state.spec.versions {
            let known = before.map_or(&[][..], |it| &it.clusters);
            clusters.push(reuse(known, cluster::cluster(name, version, spec)));
            let known = before.map_or(&[][..], |it| &it.endpoints);
            let own = cluster::endpoints(name, version, spec);
            endpoints.extend(own.map(|resource| reuse(known, resource)));
        }
        let one = |known: Option<&Arc<Resource>>, resource| {
            reuse(known.map_or(&[][..], std::slice::from_ref), resource)
        };
        Self {
            state: Arc::clone(state),
            clusters,
            endpoints,
            virtual_host: route::virtual_host(name, state),
            preview: preview::virtual_host(name, state, &mesh.preview_key),
            routes: one(before.map(|it| &it.routes), route::of_service(name, state)),
            grpc_routes: one(before.map(|it| &it.grpc_routes), route::of_grpc(name, state)),
            api_listener: one(before.map(|it| &it.api_listener), listener::api_listener(name)),
            filter: extension::service(name, state),
            istio: mesh.token_key.as_ref().and_then(|key| istio::service(name, state, key)),
        }
    }

    /// The kinds that a fleet with the resources of `before` must rebuild.
    pub(super) fn changes_since(&self, before: &Self) -> Changes {
        Changes {
            clusters: !same(&self.clusters, &before.clusters),
            endpoints: !same(&self.endpoints, &before.endpoints),
            routes: self.virtual_host != before.virtual_host
                || self.preview != before.preview
                || !Arc::ptr_eq(&self.routes, &before.routes)
                || !Arc::ptr_eq(&self.grpc_routes, &before.grpc_routes),
            filter: self.filter != before.filter,
            istio: self.istio != before.istio,
        }
    }
}

fn same(now: &[Arc<Resource>], before: &[Arc<Resource>]) -> bool {
    now.len() == before.len()
        && now.iter().zip(before).all(|(now, before)| Arc::ptr_eq(now, before))
}

/// The known resource with the same name and content; otherwise the new one.
fn reuse(known: &[Arc<Resource>], resource: Resource) -> Arc<Resource> {
    let same = known.iter().find(|it| ***it == resource);
    same.map_or_else(|| Arc::new(resource), Arc::clone)
}
