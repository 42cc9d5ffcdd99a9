//! EDS: the addresses of a version.

use tidegate_proto::envoy::envoy::config::core::v3::Locality;
use tidegate_proto::envoy::envoy::config::endpoint::v3 as envoy;

use super::{Resource, cluster, names, number};
use crate::kind::Kind;
use tidegate_delivery::model::catalogue::{Endpoint, VersionSpec};
use tidegate_delivery::names::{ServiceName, VersionName};

/// A version's endpoints, if its cluster takes them from EDS.
pub(super) fn endpoints(
    service: &ServiceName,
    version: &VersionName,
    spec: &VersionSpec,
) -> Option<Resource> {
    let name = names::cluster(service, version);
    cluster::has_addresses(spec).then(|| {
        let assignment = assignment(&name, &spec.endpoints);
        Resource::encode(Kind::Endpoint, &name, &assignment, Vec::new())
    })
}

/// The answer to a client that asks for the endpoints of a cluster that is gone.
#[must_use]
pub fn empty_assignment(cluster: &str) -> Resource {
    Resource::encode(Kind::Endpoint, cluster, &assignment(cluster, &[]), Vec::new())
}

/// Endpoints as Envoy's message.
pub(super) fn assignment(cluster: &str, endpoints: &[Endpoint]) -> envoy::ClusterLoadAssignment {
    let lb_endpoints: Vec<_> = endpoints
        .iter()
        .map(|endpoint| envoy::LbEndpoint {
            host_identifier: Some(envoy::lb_endpoint::HostIdentifier::Endpoint(envoy::Endpoint {
                address: Some(names::address(&endpoint.host, endpoint.port)),
                ..Default::default()
            })),
            ..Default::default()
        })
        .collect();
    // There is one place. Envoy needs neither its name nor its weight; gRPC passes over a place
    // that lacks either.
    let locality = envoy::LocalityLbEndpoints {
        locality: Some(Locality::default()),
        load_balancing_weight: number(1),
        lb_endpoints,
        ..Default::default()
    };
    envoy::ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: if endpoints.is_empty() { Vec::new() } else { vec![locality] },
        ..Default::default()
    }
}
