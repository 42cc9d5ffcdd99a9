//! A route configuration as Envoy acts on it: which cluster a request goes to.

use std::collections::BTreeMap;

use prost::Message;
use tidegate_proto::envoy::envoy::config::route::v3 as envoy;
use tidegate_proto::envoy::envoy::config::route::v3::route::Action;
use tidegate_proto::envoy::envoy::config::route::v3::route_action::ClusterSpecifier;
use tidegate_xds::resources::Resource;

/// One virtual host, which is one service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Host {
    /// The cluster of each version that a flag may pin.
    pub(crate) pins: BTreeMap<String, String>,
    /// In order: the candidate first, if there is one.
    pub(crate) weighted: Vec<(String, u32)>,
    /// For requests without a bucket.
    pub(crate) rest: String,
}

impl Host {
    /// The cluster of a request with a bucket.
    pub(crate) fn choose(&self, pin: Option<&str>, bucket: u32) -> &str {
        if let Some(pinned) = pin.and_then(|version| self.pins.get(version)) {
            return pinned;
        }
        let mut end = 0;
        for (cluster, weight) in &self.weighted {
            end += weight;
            if bucket < end {
                return cluster;
            }
        }
        panic!("no cluster for bucket {bucket} in {self:?}")
    }

    pub(crate) fn clusters(&self) -> impl Iterator<Item = &String> {
        let weighted = self.weighted.iter().map(|(cluster, _)| cluster);
        self.pins.values().chain(weighted).chain([&self.rest])
    }

    /// The candidate's cluster and weight.
    pub(crate) fn candidate(&self) -> Option<&(String, u32)> {
        self.weighted.first().filter(|_| self.weighted.len() > 1)
    }
}

/// Decodes the virtual hosts and checks that the weights of each sum to a million.
pub(crate) fn decode(resource: &Resource) -> BTreeMap<String, Host> {
    let routes = envoy::RouteConfiguration::decode(resource.value().clone()).unwrap();
    routes.virtual_hosts.into_iter().map(|it| (it.name.clone(), host(it))).collect()
}

fn host(virtual_host: envoy::VirtualHost) -> Host {
    let mut host = Host::default();
    for route in virtual_host.routes {
        let Some(Action::Route(action)) = route.action else { panic!("a route to no cluster") };
        let headers = route.r#match.unwrap().headers;
        match action.cluster_specifier.unwrap() {
            ClusterSpecifier::WeightedClusters(weighted) => {
                let share = |it: envoy::weighted_cluster::ClusterWeight| {
                    (it.name, it.weight.map_or(0, |it| it.value))
                };
                host.weighted = weighted.clusters.into_iter().map(share).collect();
                let sum: u32 = host.weighted.iter().map(|(_, weight)| weight).sum();
                assert_eq!(sum, 1_000_000, "the weights of {}", virtual_host.name);
            }
            ClusterSpecifier::Cluster(cluster) if headers.is_empty() => host.rest = cluster,
            ClusterSpecifier::Cluster(cluster) => {
                let (_, version) = cluster.split_once('/').unwrap();
                host.pins.insert(version.to_owned(), cluster);
            }
            other => panic!("{other:?}"),
        }
    }
    host
}
