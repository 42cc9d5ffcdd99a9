//! RDS of preview listeners: a request with the preview key is routed to the version in its header, any other is answered
//! with 403. Requests are not counted, because these listeners have no Tidegate filter.

use tidegate_core::config::VERSION_HEADER;
use tidegate_core::host::Host;
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::config::route::v3 as envoy;

use super::names::PREVIEW_HEADER;
use super::route::{direct_response, exact, header, route, to_cluster};
use super::{Name, Part, Resource, ResourceRef, names};
use crate::kind::Kind;
use crate::mesh::PreviewKey;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ServiceName;

/// Value of the response header [`PREVIEW_HEADER`] if the sidecar does not have the version (yet).
pub const NO_SUCH_VERSION: &str = "no-such-version";

/// The route configuration of a preview listener, from the virtual hosts of its services.
pub(super) fn routes(name: &str, virtual_hosts: Vec<Part>) -> Resource {
    let head = envoy::RouteConfiguration {
        name: name.to_owned(),
        ignore_port_in_host_matching: true,
        request_headers_to_remove: vec![PREVIEW_HEADER.to_owned()],
        ..Default::default()
    };
    Resource::assemble(Kind::Route, name, &head, virtual_hosts)
}

/// The virtual host of a service in preview listeners.
pub(super) fn virtual_host(name: &ServiceName, service: &ServiceState, key: &PreviewKey) -> Part {
    let has_key = || header(PREVIEW_HEADER, exact(key.secret()));
    let mut routes = Vec::new();
    // The empty key matches no request.
    if !key.secret().is_empty() {
        routes.extend(service.spec.versions.keys().map(|version| {
            let named = header(VERSION_HEADER, exact(version.as_str()));
            route(vec![has_key(), named], to_cluster(names::cluster(name, version)))
        }));
        routes.push(mark_no_such_version(route(
            vec![has_key()],
            direct_response(404, format!("{name} has no such version on this sidecar\n")),
        )));
    }
    routes.push(route(
        Vec::new(),
        direct_response(
            403,
            "this listener is for smoke tests: the preview key is missing or wrong\n".to_owned(),
        ),
    ));
    let domains: Vec<String> = service.spec.hosts.iter().flat_map(Host::domains).collect();
    let message = envoy::RouteConfiguration {
        virtual_hosts: vec![envoy::VirtualHost {
            name: name.to_string(),
            domains: domains.clone(),
            routes,
            ..Default::default()
        }],
        ..Default::default()
    };
    let versions = service.spec.versions.keys().filter(|_| !key.secret().is_empty());
    let references = versions
        .map(|version| ResourceRef {
            kind: Kind::Cluster,
            name: names::cluster(name, version).into(),
        })
        .collect();
    Part::encode(name.as_str(), &message, references)
        .with_domains(domains.into_iter().map(Name::from).collect())
}

fn mark_no_such_version(route: envoy::Route) -> envoy::Route {
    let mark = core::HeaderValueOption {
        header: Some(core::HeaderValue {
            key: PREVIEW_HEADER.to_owned(),
            value: NO_SUCH_VERSION.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    envoy::Route { response_headers_to_add: vec![mark], ..route }
}
