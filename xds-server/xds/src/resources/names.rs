//! Names on the wire. Filters, dashboards and other meshes rely on them.

use tidegate_proto::envoy::envoy::config::core::v3 as core;

use tidegate_delivery::names::{FleetName, ServiceName, VersionName};

/// The cluster that leads to the control plane, in bootstraps and in the filter's configuration.
/// Envoy tries to read a callout's target as a protobuf message before it takes it as a name; no
/// message begins with `t` (field 14 of wire type 4), so this one is always taken as a name.
pub const CONTROL_PLANE_CLUSTER: &str = "tidegate";
/// The filter: its name in a listener, of its ECDS resource, and of its root context.
pub(super) const FILTER: &str = "tidegate";

/// Request header that opens a preview listener; it never reaches a version.
pub const PREVIEW_HEADER: &str = "x-tidegate-preview";

/// One version's cluster.
pub(super) fn cluster(service: &ServiceName, version: &VersionName) -> String {
    format!("{service}/{version}")
}

/// The route configuration of a listener of ours.
pub(super) fn listener_routes(fleet: &FleetName, listener: &str) -> String {
    format!("{fleet}/{listener}")
}

/// One service's route configuration, for meshes that bring their own listeners.
pub(super) fn service_routes(service: &ServiceName) -> String {
    format!("service/{service}")
}

/// One service's route configuration, for gRPC clients.
pub(super) fn grpc_routes(service: &ServiceName) -> String {
    format!("grpc/{service}")
}

/// "From the stream that this came on."
pub(super) fn from_ads() -> core::ConfigSource {
    core::ConfigSource {
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource::default(),
        )),
        ..Default::default()
    }
}

/// A socket's address.
pub(super) fn address(host: &str, port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}
