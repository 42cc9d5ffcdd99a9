//! RDS of preview listeners: whoever has the key gets the version that he names, and nobody else
//! gets anything. What is asked here is counted for nobody, because no filter of ours is there.

use tidegate_core::config::VERSION_HEADER;
use tidegate_core::host::Host;
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::config::route::v3 as envoy;

use super::names::PREVIEW_HEADER;
use super::route::{answer, exactly, header, route, to_cluster};
use super::{Name, Need, Part, Resource, names};
use crate::kind::Kind;
use crate::mesh::PreviewKey;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ServiceName;

/// What the answer says in [`PREVIEW_HEADER`] where the sidecar has no such version: it may still come.
pub const NOT_HERE: &str = "no-such-version";

/// The routes of a preview listener: the virtual hosts of its services.
pub(super) fn routes(name: &str, virtual_hosts: Vec<Part>) -> Resource {
    let head = envoy::RouteConfiguration {
        name: name.to_owned(),
        ignore_port_in_host_matching: true,
        request_headers_to_remove: vec![PREVIEW_HEADER.to_owned()],
        ..Default::default()
    };
    Resource::assemble(Kind::Route, name, &head, virtual_hosts)
}

/// A service's virtual host in preview listeners.
pub(super) fn virtual_host(name: &ServiceName, service: &ServiceState, key: &PreviewKey) -> Part {
    let has_key = || header(PREVIEW_HEADER, exactly(key.secret()));
    let mut routes = Vec::new();
    // Without a key there is none to have.
    if !key.secret().is_empty() {
        routes.extend(service.spec.versions.keys().map(|version| {
            let named = header(VERSION_HEADER, exactly(version.as_str()));
            route(vec![has_key(), named], to_cluster(names::cluster(name, version)))
        }));
        routes.push(not_here(route(
            vec![has_key()],
            answer(404, format!("{name} has no such version here\n")),
        )));
    }
    routes.push(route(Vec::new(), answer(403, "this is for smoke tests\n".to_owned())));
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
    let needs = versions
        .map(|version| Need { kind: Kind::Cluster, name: names::cluster(name, version).into() })
        .collect();
    Part::encode(name.as_str(), &message, needs)
        .claiming(domains.into_iter().map(Name::from).collect())
}

fn not_here(route: envoy::Route) -> envoy::Route {
    let mark = core::HeaderValueOption {
        header: Some(core::HeaderValue {
            key: PREVIEW_HEADER.to_owned(),
            value: NOT_HERE.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    envoy::Route { response_headers_to_add: vec![mark], ..route }
}
