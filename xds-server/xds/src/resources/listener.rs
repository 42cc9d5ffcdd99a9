//! LDS: the listeners of a fleet, each with one HTTP connection manager, Tidegate's filter and the router. A fleet without
//! listeners has one API listener for each service, for gRPC clients.

use tidegate_core::config::{BUCKET_HEADER, VERSION_HEADER};
use tidegate_proto::envoy::envoy::config::common::mutation_rules::v3 as mutation;
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::config::listener::v3 as envoy;
use tidegate_proto::envoy::envoy::extensions::filters::http::rbac::v3::Rbac;
use tidegate_proto::envoy::envoy::extensions::filters::http::router::v3::Router;
use tidegate_proto::envoy::envoy::extensions::filters::http::wasm::v3::Wasm;
use tidegate_proto::envoy::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use tidegate_proto::envoy::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation;

use super::{Resource, ResourceRef, names, pack, seconds};
use crate::kind::Kind;
use crate::mesh::{Listener, Purpose};
use tidegate_delivery::names::{FleetName, ServiceName};

/// Time after which a listener starts without the filter's configuration.
const FILTER_FETCH_TIMEOUT_SECONDS: i64 = 5;
/// Idle timeout of a stream.
const STREAM_IDLE_SECONDS: i64 = 300;
/// Timeout for the headers of a request.
const REQUEST_HEADERS_SECONDS: i64 = 10;

/// A listener of a fleet.
pub(super) fn listener(fleet: &FleetName, listener: &Listener) -> Resource {
    let routes = names::listener_routes(fleet, &listener.name);
    let reference = |kind, name: &str| ResourceRef { kind, name: name.into() };
    let mut references = vec![reference(Kind::Route, &routes)];
    let (header_mutations, filters) = match listener.purpose {
        Purpose::Traffic => {
            references.push(reference(Kind::Extension, names::FILTER));
            (vec![remove_tidegate_headers()], vec![tidegate_filter(), router()])
        }
        // The routes require the preview key before they match the version header.
        Purpose::Preview => (Vec::new(), vec![router()]),
    };
    let manager = hcm::HttpConnectionManager {
        codec_type: hcm::http_connection_manager::CodecType::Auto.into(),
        stat_prefix: listener.name.clone(),
        early_header_mutation_extensions: header_mutations,
        http_filters: filters,
        stream_idle_timeout: seconds(STREAM_IDLE_SECONDS),
        request_headers_timeout: seconds(REQUEST_HEADERS_SECONDS),
        route_specifier: Some(routes_from_ads(routes.clone())),
        ..Default::default()
    };
    let address = listener.address;
    let message = envoy::Listener {
        name: listener.name.clone(),
        address: Some(names::address(&address.ip().to_string(), address.port())),
        filter_chains: vec![envoy::FilterChain {
            filters: vec![envoy::Filter {
                name: "envoy.filters.network.http_connection_manager".to_owned(),
                config_type: Some(envoy::filter::ConfigType::TypedConfig(pack(&manager))),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    Resource::encode(Kind::Listener, &listener.name, &message, references)
}

/// The API listener of `xds:///SERVICE`, which references the service's route configuration for gRPC clients. It has no
/// address, and no Tidegate filter, which gRPC cannot run.
///
/// The resource declares no references: a gRPC client subscribes to the routes at once, and holds none from before. An Envoy
/// that subscribes to all listeners receives it too, and ignores it.
pub(super) fn api_listener(service: &ServiceName) -> Resource {
    let manager = hcm::HttpConnectionManager {
        http_filters: vec![router()],
        route_specifier: Some(routes_from_ads(names::grpc_routes(service))),
        ..Default::default()
    };
    let message = envoy::Listener {
        name: service.to_string(),
        api_listener: Some(envoy::ApiListener { api_listener: Some(pack(&manager)) }),
        ..Default::default()
    };
    Resource::encode(Kind::Listener, service.as_str(), &message, Vec::new())
}

fn routes_from_ads(name: String) -> hcm::http_connection_manager::RouteSpecifier {
    hcm::http_connection_manager::RouteSpecifier::Rds(hcm::Rds {
        config_source: Some(names::from_ads()),
        route_config_name: name,
    })
}

/// Removes Tidegate's headers from requests before routes are matched, also if the filter is not active: a client must not
/// choose its version or its bucket.
fn remove_tidegate_headers() -> core::TypedExtensionConfig {
    let remove = |header: &str| mutation::HeaderMutation {
        action: Some(mutation::header_mutation::Action::Remove(header.to_owned())),
    };
    core::TypedExtensionConfig {
        name: "envoy.http.early_header_mutation.header_mutation".to_owned(),
        typed_config: Some(pack(&HeaderMutation {
            mutations: vec![remove(VERSION_HEADER), remove(BUCKET_HEADER)],
        })),
    }
}

/// Tidegate's filter, configured by ECDS. The default until then is an RBAC filter without rules, which allows everything:
/// requests have no bucket and are routed to stable.
fn tidegate_filter() -> hcm::HttpFilter {
    use prost::Name as _;

    let source = core::ExtensionConfigSource {
        config_source: Some(core::ConfigSource {
            initial_fetch_timeout: seconds(FILTER_FETCH_TIMEOUT_SECONDS),
            ..names::from_ads()
        }),
        default_config: Some(pack(&Rbac::default())),
        type_urls: vec![Wasm::type_url(), Rbac::type_url()],
        ..Default::default()
    };
    hcm::HttpFilter {
        name: names::FILTER.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::ConfigDiscovery(source)),
        ..Default::default()
    }
}

fn router() -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(pack(&Router::default()))),
        ..Default::default()
    }
}
