//! The configuration that an Envoy runs, and the published one, in the same form.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use serde_json::Value;
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::config::endpoint::v3 as eds;
use tidegate_proto::envoy::envoy::config::listener::v3::Listener;
use tidegate_proto::envoy::envoy::config::route::v3 as rds;
use tidegate_proto::envoy::envoy::extensions::filters::http::wasm::v3::Wasm;
use tidegate_proto::envoy::google::protobuf::StringValue;
use tidegate_xds::kind::Kind;
use tidegate_xds::resources::FleetSnapshot;

/// The part of an Envoy's configuration that Tidegate publishes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    clusters: BTreeSet<String>,
    /// Ports, by cluster.
    endpoints: BTreeMap<String, Vec<u64>>,
    listeners: BTreeSet<String>,
    /// Each route as text, by route configuration.
    routes: BTreeMap<String, Vec<String>>,
    /// The filter's configuration.
    filter: Option<String>,
}

impl Facts {
    /// From a snapshot, for an Envoy that subscribes to one route configuration.
    pub(crate) fn published(snapshot: &FleetSnapshot, routes: &str) -> Self {
        let all = |kind| {
            let collection = snapshot.collection(kind);
            collection.names().map(|name| collection.get(name).unwrap().value().clone())
        };
        let names = |kind| snapshot.collection(kind).names().map(ToString::to_string).collect();
        let listeners = all(Kind::Listener).map(|value| Listener::decode(value).unwrap());
        let route = snapshot.collection(Kind::Route).get(routes).unwrap().value().clone();
        let route = rds::RouteConfiguration::decode(route).unwrap();
        let hosts = route.virtual_hosts.iter();
        Self {
            clusters: names(Kind::Cluster),
            endpoints: all(Kind::Endpoint)
                .map(|value| eds::ClusterLoadAssignment::decode(value).unwrap())
                .map(|assignment| (assignment.cluster_name.clone(), ports(&assignment)))
                .collect(),
            // Listeners without an address are for gRPC clients.
            listeners: listeners
                .filter(|listener| listener.address.is_some())
                .map(|listener| listener.name)
                .collect(),
            routes: [(route.name, hosts.flat_map(|host| &host.routes).map(published).collect())]
                .into(),
            filter: all(Kind::Extension).next().map(|value| {
                let extension = core::TypedExtensionConfig::decode(value).unwrap();
                let wasm = Wasm::decode(&*extension.typed_config.unwrap().value).unwrap();
                let text = wasm.config.unwrap().configuration.unwrap().value;
                StringValue::decode(&*text).unwrap().value
            }),
        }
    }

    /// From an Envoy's `/config_dump?include_eds`.
    pub(crate) fn running(dump: &Value) -> Self {
        let all = |list: &str| -> Vec<&Value> {
            let sections = dump["configs"].as_array().unwrap().iter();
            sections.filter_map(|section| section[list].as_array()).flatten().collect()
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names = |list: &str, path: &str| {
            all(list).iter().map(|entry| text(&entry.pointer(path).unwrap()["name"])).collect()
        };
        let filters = all("ecds_filters");
        let configuration = "/ecds_filter/typed_config/config/configuration/value";
        Self {
            clusters: names("dynamic_active_clusters", "/cluster"),
            endpoints: all("dynamic_endpoint_configs")
                .iter()
                .map(|entry| &entry["endpoint_config"])
                .map(|config| (text(&config["cluster_name"]), running_ports(config)))
                .collect(),
            listeners: names("dynamic_listeners", "/active_state/listener"),
            routes: all("dynamic_route_configs")
                .iter()
                .map(|entry| &entry["route_config"])
                .map(|config| {
                    let hosts =
                        list(&config["virtual_hosts"]).flat_map(|host| list(&host["routes"]));
                    (text(&config["name"]), hosts.map(running).collect())
                })
                .collect(),
            filter: filters.first().and_then(|filter| filter.pointer(configuration)).map(text),
        }
    }
}

/// The ports that EDS resolved for a static cluster, by its EDS service name.
pub(crate) fn static_ports(dump: &Value, name: &str) -> Vec<u64> {
    let sections = list(&dump["configs"]);
    let configs = sections.flat_map(|section| list(&section["static_endpoint_configs"]));
    let named = |config: &&Value| config["endpoint_config"]["cluster_name"] == name;
    configs.filter(named).flat_map(|config| running_ports(&config["endpoint_config"])).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn running_ports(config: &Value) -> Vec<u64> {
    let endpoints = list(&config["endpoints"]).flat_map(|place| list(&place["lb_endpoints"]));
    let port = "/endpoint/address/socket_address/port_value";
    endpoints.map(|endpoint| endpoint.pointer(port).unwrap().as_u64().unwrap()).collect()
}

fn ports(assignment: &eds::ClusterLoadAssignment) -> Vec<u64> {
    let endpoints = assignment.endpoints.iter().flat_map(|place| &place.lb_endpoints);
    let port = |endpoint: &eds::LbEndpoint| {
        let eds::lb_endpoint::HostIdentifier::Endpoint(endpoint) =
            endpoint.host_identifier.clone()?
        else {
            return None;
        };
        let core::address::Address::SocketAddress(socket) = endpoint.address?.address? else {
            return None;
        };
        match socket.port_specifier? {
            core::socket_address::PortSpecifier::PortValue(port) => Some(u64::from(port)),
            core::socket_address::PortSpecifier::NamedPort(_) => None,
        }
    };
    endpoints.map(|endpoint| port(endpoint).unwrap()).collect()
}

/// A published route as `HEADER[=VALUE] -> TARGET`.
fn published(route: &rds::Route) -> String {
    use rds::route_action::ClusterSpecifier;
    use rds::weighted_cluster::RandomValueSpecifier;

    let headers = route.r#match.as_ref().unwrap().headers.iter().map(|header| {
        let value = match header.header_match_specifier.as_ref().unwrap() {
            rds::header_matcher::HeaderMatchSpecifier::StringMatch(text) => {
                match text.match_pattern.as_ref().unwrap() {
                    tidegate_proto::envoy::envoy::r#type::matcher::v3::string_matcher::MatchPattern::Exact(text) => text.as_str(),
                    other => panic!("{other:?}"),
                }
            }
            _ => "",
        };
        format!("{}={value}", header.name)
    });
    let target = match route.action.as_ref().unwrap() {
        rds::route::Action::Route(action) => match action.cluster_specifier.as_ref().unwrap() {
            ClusterSpecifier::Cluster(name) => name.clone(),
            ClusterSpecifier::WeightedClusters(weighted) => {
                let share = |share: &rds::weighted_cluster::ClusterWeight| {
                    format!("{}:{}", share.name, share.weight.unwrap().value)
                };
                let shares: Vec<_> = weighted.clusters.iter().map(share).collect();
                let by = match &weighted.random_value_specifier {
                    Some(RandomValueSpecifier::HeaderName(name)) => name.as_str(),
                    _ => "",
                };
                format!("{} by {by}", shares.join(" "))
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    format!("{} -> {target}", headers.collect::<Vec<_>>().join(" "))
}

/// A route of a dump in the same form.
fn running(route: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let headers = list(&route["match"]["headers"]).map(|header| {
        format!("{}={}", text(&header["name"]), text(&header["string_match"]["exact"]))
    });
    let action = &route["route"];
    let weighted = &action["weighted_clusters"];
    let target = if weighted.is_null() {
        text(&action["cluster"])
    } else {
        let share = |share: &Value| format!("{}:{}", text(&share["name"]), share["weight"]);
        let shares: Vec<_> = list(&weighted["clusters"]).map(share).collect();
        format!("{} by {}", shares.join(" "), text(&weighted["header_name"]))
    };
    format!("{} -> {target}", headers.collect::<Vec<_>>().join(" "))
}
