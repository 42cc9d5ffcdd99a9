//! The bootstrap of a stock Envoy that receives its other configuration from Tidegate.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::upstream_tls::UpstreamTls;
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::names::FleetName;
use tidegate_xds::kind::Mode;

/// A bootstrap in JSON, which is also YAML. `cluster` names the cluster of the control plane. Without `tls` the connection to
/// `xds` is plaintext.
#[must_use]
pub fn bootstrap(
    fleet: &FleetName,
    id: &str,
    cluster: &str,
    xds: &Endpoint,
    tls: Option<&UpstreamTls>,
    admin: SocketAddr,
    mode: Mode,
) -> String {
    let ads = json!({"resource_api_version": "V3", "ads": {}});
    let bootstrap = json!({
        "node": {"id": id, "cluster": fleet},
        "admin": {"address": address(&admin.ip().to_string(), admin.port())},
        "dynamic_resources": {
            "ads_config": {
                "api_type": match mode {
                    Mode::Sotw => "GRPC",
                    Mode::Delta => "DELTA_GRPC",
                },
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{
                    "envoy_grpc": {
                        "cluster_name": cluster,
                        // Reconnection after an outage of the control plane. Envoy's default maximum of 30 s would
                        // delay a rollback.
                        "retry_policy": {
                            "retry_back_off": {"base_interval": "0.25s", "max_interval": "5s"}
                        }
                    }
                }]
            },
            "cds_config": ads,
            "lds_config": ads
        },
        "static_resources": {"clusters": [control_plane(cluster, xds, tls)]}
    });
    format!("{bootstrap:#}\n")
}

/// The cluster of the control plane, for xDS and for the filter's reports.
fn control_plane(name: &str, xds: &Endpoint, tls: Option<&UpstreamTls>) -> Value {
    let mut cluster = json!({
        "name": name,
        // Accepts addresses and names.
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        // Includes the TLS handshake, which waits for a slot when a whole fleet reconnects.
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        // Detects a control plane that disappeared without closing the connection.
                        "connection_keepalive": {"interval": "10s", "timeout": "5s"}
                    }
                }
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{
                "lb_endpoints": [{
                    "endpoint": {"address": address(&xds.host, xds.port)}
                }]
            }]
        }
    });
    if let (Some(tls), Some(cluster)) = (tls, cluster.as_object_mut()) {
        cluster.insert("transport_socket".to_owned(), tls.transport_socket());
    }
    cluster
}

fn address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), port: 18000 }
    }

    fn parse(id: &str, host: &str, mode: Mode) -> Value {
        let fleet = "demo".parse().unwrap();
        let admin = "127.0.0.1:9901".parse().unwrap();
        let text = bootstrap(&fleet, id, "control", &endpoint(host), None, admin, mode);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn contains_the_node_and_the_control_plane() {
        let bootstrap = parse("sidecar-1", "tidegate.internal", Mode::Delta);
        assert_eq!(bootstrap["node"], json!({"id": "sidecar-1", "cluster": "demo"}));
        let ads = &bootstrap["dynamic_resources"]["ads_config"];
        assert_eq!(ads["api_type"], "DELTA_GRPC");
        assert_eq!(ads["grpc_services"][0]["envoy_grpc"]["cluster_name"], "control");
        let cluster = &bootstrap["static_resources"]["clusters"][0];
        assert_eq!(cluster["name"], "control");
        let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
        let socket = &endpoint["address"]["socket_address"];
        assert_eq!(socket["address"], "tidegate.internal");
        assert_eq!(socket["port_value"], 18000);
    }

    #[test]
    fn a_node_id_is_escaped() {
        let id = "a\", \"cluster\": \"other\nnode: {";
        assert_eq!(parse(id, "::1", Mode::Sotw)["node"]["id"], id);
    }
}
