//! Bootstraps for each way in which an Envoy can receive its configuration.

use std::net::SocketAddr;

use tidegate_xds::kind::Mode;

use super::envoy::demo_bootstrap;

/// The bootstrap that `docs/meshes.md` describes.
const OWN_LISTENER: &str = include_str!("../../envoy/own-listener.yaml");

/// How resource types are divided among xDS streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// ADS: all types on one stream.
    Aggregated,
    /// A stream for each type that the bootstrap configures. Config sources inside Tidegate's resources still name ADS:
    /// Envoy supports none that stands for the stream of the enclosing resource.
    Separate,
}

/// The bootstrap of an Envoy with a listener from Tidegate.
pub(crate) fn demo(mode: Mode, streams: Streams, xds: SocketAddr, admin: SocketAddr) -> String {
    let text = demo_bootstrap(mode, xds, admin);
    match streams {
        Streams::Aggregated => text,
        Streams::Separate => replace(&text, "\"ads\": {}", &separate(mode)),
    }
}

/// The bootstrap of an Envoy with a listener of its own, at `ingress`.
pub(crate) fn own(
    mode: Mode,
    streams: Streams,
    xds: SocketAddr,
    admin: SocketAddr,
    ingress: SocketAddr,
) -> String {
    let mut text = OWN_LISTENER.to_owned();
    for (documented, here) in [(18000, xds), (9901, admin), (10000, ingress)] {
        let port = |port: u16| format!("port_value: {port}}}");
        text = replace(&text, &port(documented), &port(here.port()));
    }
    if mode == Mode::Sotw {
        text = replace(&text, "api_type: DELTA_GRPC", "api_type: GRPC");
    }
    match streams {
        Streams::Aggregated => text,
        Streams::Separate => {
            let text = replace(&text, "ads: {}", &separate(mode));
            replace(
                &text,
                "  clusters:\n",
                &format!("  clusters:\n    - {}\n", endpoints_only(mode)),
            )
        }
    }
}

/// A cluster of the mesh's own that receives only its endpoints from Tidegate.
fn endpoints_only(mode: Mode) -> String {
    let source = format!("{{\"resource_api_version\": \"V3\", {}}}", separate(mode));
    let eds = format!("{{\"service_name\": \"order/v1\", \"eds_config\": {source}}}");
    format!("{{\"name\": \"mine\", \"type\": \"EDS\", \"eds_cluster_config\": {eds}}}")
}

fn separate(mode: Mode) -> String {
    let api_type = match mode {
        Mode::Sotw => "GRPC",
        Mode::Delta => "DELTA_GRPC",
    };
    format!(
        "\"api_config_source\": {{\"api_type\": \"{api_type}\", \"transport_api_version\": \"V3\", \
         \"grpc_services\": [{{\"envoy_grpc\": {{\"cluster_name\": \"tidegate\"}}}}]}}"
    )
}

/// Replaces `old`, which must occur.
fn replace(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "no {old} in\n{text}");
    text.replace(old, new)
}
