//! The bootstraps of real clients: every way in which an Envoy can take its configuration.

use std::net::SocketAddr;

use tidegate_xds::kind::Mode;

use super::envoy::demo_bootstrap;

/// The bootstrap that `docs/meshes.md` is about.
const OWN_LISTENER: &str = include_str!("../../envoy/own-listener.yaml");

/// How the types come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// All on one stream: ADS.
    Aggregated,
    /// Each that the bootstrap names on a stream of its own. What Tidegate's own resources name
    /// says ADS: there is no way to say "as you came" that Envoy understands.
    Separate,
}

/// An Envoy with a listener of ours.
pub(crate) fn demo(mode: Mode, streams: Streams, xds: SocketAddr, admin: SocketAddr) -> String {
    let text = demo_bootstrap(mode, xds, admin);
    match streams {
        Streams::Aggregated => text,
        Streams::Separate => swap(&text, "\"ads\": {}", &separate(mode)),
    }
}

/// An Envoy with a listener of its own, at `ingress`.
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
        text = swap(&text, &port(documented), &port(here.port()));
    }
    if mode == Mode::Sotw {
        text = swap(&text, "api_type: DELTA_GRPC", "api_type: GRPC");
    }
    match streams {
        Streams::Aggregated => text,
        Streams::Separate => {
            let text = swap(&text, "ads: {}", &separate(mode));
            swap(&text, "  clusters:\n", &format!("  clusters:\n    - {}\n", endpoints_only(mode)))
        }
    }
}

/// A cluster of the mesh's own that takes nothing but its endpoints from Tidegate.
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

/// Replaces what must be there.
fn swap(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "no {old} in\n{text}");
    text.replace(old, new)
}
