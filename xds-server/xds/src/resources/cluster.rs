//! CDS and EDS: one cluster for each version of each service, and its endpoints.

use std::net::IpAddr;

use tidegate_proto::envoy::envoy::config::cluster::v3 as cds;
use tidegate_proto::envoy::envoy::config::core::v3::Locality;
use tidegate_proto::envoy::envoy::config::endpoint::v3 as eds;
use tidegate_proto::envoy::google::protobuf::BoolValue;

use super::{Resource, ResourceRef, names, number, seconds};
use crate::kind::Kind;
use tidegate_delivery::model::catalogue::{Endpoint, VersionSpec};
use tidegate_delivery::names::{ServiceName, VersionName};

/// The cluster of a version: EDS if all endpoints are IP addresses, else STRICT_DNS.
///
/// It has no retries, outlier detection or health checks. They would hide errors of the version from the judge, and only
/// on some sidecars.
pub(super) fn cluster(
    service: &ServiceName,
    version: &VersionName,
    spec: &VersionSpec,
) -> Resource {
    let name = names::cluster(service, version);
    let mut cluster =
        cds::Cluster { name: name.clone(), connect_timeout: seconds(1), ..Default::default() };
    let mut references = Vec::new();
    if has_addresses(spec) {
        cluster.cluster_discovery_type = discovery(cds::cluster::DiscoveryType::Eds);
        cluster.eds_cluster_config = Some(cds::cluster::EdsClusterConfig {
            eds_config: Some(names::from_ads()),
            ..Default::default()
        });
        references.push(ResourceRef { kind: Kind::Endpoint, name: name.as_str().into() });
    } else {
        cluster.cluster_discovery_type = discovery(cds::cluster::DiscoveryType::StrictDns);
        cluster.dns_lookup_family = cds::cluster::DnsLookupFamily::V4Preferred.into();
        cluster.load_assignment = Some(assignment(&name, &spec.endpoints));
        // By default the cluster warms until its name resolves. Meanwhile Envoy withholds its CDS ACK, which blocks the
        // releases of all services, and an Envoy that starts opens no listener.
        cluster.wait_for_warm_on_init = Some(BoolValue { value: false });
    }
    Resource::encode(Kind::Cluster, &name, &cluster, references)
}

/// The endpoints of a version; `None` if its cluster uses DNS.
pub(super) fn endpoints(
    service: &ServiceName,
    version: &VersionName,
    spec: &VersionSpec,
) -> Option<Resource> {
    let name = names::cluster(service, version);
    has_addresses(spec).then(|| {
        let assignment = assignment(&name, &spec.endpoints);
        Resource::encode(Kind::Endpoint, &name, &assignment, Vec::new())
    })
}

/// The endpoints of a removed cluster: none.
#[must_use]
pub fn empty_assignment(cluster: &str) -> Resource {
    Resource::encode(Kind::Endpoint, cluster, &assignment(cluster, &[]), Vec::new())
}

fn assignment(cluster: &str, endpoints: &[Endpoint]) -> eds::ClusterLoadAssignment {
    let lb_endpoints: Vec<_> = endpoints
        .iter()
        .map(|endpoint| eds::LbEndpoint {
            host_identifier: Some(eds::lb_endpoint::HostIdentifier::Endpoint(eds::Endpoint {
                address: Some(names::address(&endpoint.host, endpoint.port)),
                ..Default::default()
            })),
            ..Default::default()
        })
        .collect();
    // gRPC ignores a locality without a name or a weight. Envoy needs neither.
    let locality = eds::LocalityLbEndpoints {
        locality: Some(Locality::default()),
        load_balancing_weight: number(1),
        lb_endpoints,
        ..Default::default()
    };
    eds::ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: if endpoints.is_empty() { Vec::new() } else { vec![locality] },
        ..Default::default()
    }
}

/// True if every endpoint is an IP address.
fn has_addresses(spec: &VersionSpec) -> bool {
    let is_address = |host: &str| host.parse::<IpAddr>().is_ok();
    spec.endpoints.iter().all(|endpoint| is_address(&endpoint.host))
}

fn discovery(kind: cds::cluster::DiscoveryType) -> Option<cds::cluster::ClusterDiscoveryType> {
    Some(cds::cluster::ClusterDiscoveryType::Type(kind.into()))
}
