//! Names of resources and headers. The filter, dashboards and foreign listeners depend on them.

use tidegate_proto::envoy::envoy::config::core::v3 as core;

use tidegate_delivery::names::{FleetName, ServiceName, VersionName};

/// The filter's name in listeners, the name of its ECDS resource, and its root id.
pub(super) const FILTER: &str = "tidegate";

/// Request header with the preview key. Preview listeners require it and remove it.
pub const PREVIEW_HEADER: &str = "x-tidegate-preview";

/// The cluster of a version.
pub(super) fn cluster(service: &ServiceName, version: &VersionName) -> String {
    format!("{service}/{version}")
}

/// The route configuration of a fleet's listener.
pub(super) fn listener_routes(fleet: &FleetName, listener: &str) -> String {
    format!("{fleet}/{listener}")
}

/// The route configuration of a service for foreign listeners.
pub(super) fn service_routes(service: &ServiceName) -> String {
    format!("service/{service}")
}

/// The route configuration of a service for gRPC clients.
pub(super) fn grpc_routes(service: &ServiceName) -> String {
    format!("grpc/{service}")
}

/// Configuration source: the ADS stream.
pub(super) fn from_ads() -> core::ConfigSource {
    core::ConfigSource {
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource::default(),
        )),
        ..Default::default()
    }
}

/// A socket address.
pub(super) fn address(host: &str, port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}
