//! CDS: one cluster for each version of each service.

use std::net::IpAddr;

use tidegate_proto::envoy::envoy::config::cluster::v3 as envoy;
use tidegate_proto::envoy::google::protobuf::BoolValue;

use super::{Need, Resource, endpoint, names, seconds};
use crate::kind::Kind;
use tidegate_delivery::model::catalogue::VersionSpec;
use tidegate_delivery::names::{ServiceName, VersionName};

/// A version's cluster. It has no retries, outlier detection or health checks: they would hide
/// the errors by which the version is judged, and hide them on some sidecars only.
pub(super) fn cluster(
    service: &ServiceName,
    version: &VersionName,
    spec: &VersionSpec,
) -> Resource {
    let name = names::cluster(service, version);
    let mut cluster =
        envoy::Cluster { name: name.clone(), connect_timeout: seconds(1), ..Default::default() };
    let mut needs = Vec::new();
    if has_addresses(spec) {
        cluster.cluster_discovery_type = discovery(envoy::cluster::DiscoveryType::Eds);
        cluster.eds_cluster_config = Some(envoy::cluster::EdsClusterConfig {
            eds_config: Some(names::from_ads()),
            ..Default::default()
        });
        needs.push(Need { kind: Kind::Endpoint, name: name.as_str().into() });
    } else {
        // Envoy resolves the names itself, and again whenever the record expires.
        cluster.cluster_discovery_type = discovery(envoy::cluster::DiscoveryType::StrictDns);
        cluster.dns_lookup_family = envoy::cluster::DnsLookupFamily::V4Preferred.into();
        cluster.load_assignment = Some(endpoint::assignment(&name, &spec.endpoints));
        // Without this, a name that does not resolve keeps the cluster warming: Envoy then withholds its CDS ACK, which
        // blocks the releases of all services, and a starting Envoy opens no listener.
        cluster.wait_for_warm_on_init = Some(BoolValue { value: false });
    }
    Resource::encode(Kind::Cluster, &name, &cluster, needs)
}

/// True if every endpoint is an IP address, so that EDS can serve it.
pub(super) fn has_addresses(spec: &VersionSpec) -> bool {
    let is_address = |host: &str| host.parse::<IpAddr>().is_ok();
    spec.endpoints.iter().all(|endpoint| is_address(&endpoint.host))
}

fn discovery(kind: envoy::cluster::DiscoveryType) -> Option<envoy::cluster::ClusterDiscoveryType> {
    Some(envoy::cluster::ClusterDiscoveryType::Type(kind.into()))
}
