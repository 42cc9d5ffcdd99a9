//! LDS: a fleet's listeners, each one HTTP connection manager with our filter and the router; and
//! for a fleet that has none, one API listener for each service, which is how gRPC clients begin.

use tidegate_core::config::{BUCKET_HEADER, VERSION_HEADER};
use tidegate_proto::envoy::envoy::config::common::mutation_rules::v3 as mutation;
use tidegate_proto::envoy::envoy::config::core::v3 as core;
use tidegate_proto::envoy::envoy::config::listener::v3 as envoy;
use tidegate_proto::envoy::envoy::extensions::filters::http::rbac::v3::Rbac;
use tidegate_proto::envoy::envoy::extensions::filters::http::router::v3::Router;
use tidegate_proto::envoy::envoy::extensions::filters::http::wasm::v3::Wasm;
use tidegate_proto::envoy::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use tidegate_proto::envoy::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation;

use super::{Need, Resource, names, pack, seconds};
use crate::kind::Kind;
use crate::mesh::{Listener, Purpose};
use tidegate_delivery::names::{FleetName, ServiceName};

/// How long a listener waits for the filter's configuration before it starts without. Traffic
/// must flow even if the filter never comes.
const FILTER_WAIT_SECONDS: i64 = 5;
/// How long a request may be silent.
const IDLE_SECONDS: i64 = 300;
/// How long a client may take to send a request's headers.
const HEADERS_SECONDS: i64 = 10;

/// One listener.
pub(super) fn listener(fleet: &FleetName, listener: &Listener) -> Resource {
    let routes = names::listener_routes(fleet, &listener.name);
    let need = |kind, name: &str| Need { kind, name: name.into() };
    let mut needs = vec![need(Kind::Route, &routes)];
    let (stripped, filters) = match listener.purpose {
        Purpose::Traffic => {
            needs.push(need(Kind::Extension, names::FILTER));
            (vec![strip_our_headers()], vec![our_filter(), router()])
        }
        // Its routes ask for a key before they look at the version.
        Purpose::Preview => (Vec::new(), vec![router()]),
    };
    let manager = hcm::HttpConnectionManager {
        codec_type: hcm::http_connection_manager::CodecType::Auto.into(),
        stat_prefix: listener.name.clone(),
        early_header_mutation_extensions: stripped,
        http_filters: filters,
        stream_idle_timeout: seconds(IDLE_SECONDS),
        request_headers_timeout: seconds(HEADERS_SECONDS),
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
    Resource::encode(Kind::Listener, &listener.name, &message, needs)
}

/// What a gRPC client is told that calls `xds:///SERVICE`: to take the service's routes. It has no
/// address, and no filter of ours: gRPC cannot run it.
///
/// It names no needs. A gRPC client asks for the routes at once, and has none from before; an Envoy
/// that takes all listeners there are is told of these too, and passes over them.
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

/// Removes our headers from what clients send, before any route is matched and even when the
/// filter is down: a client must never choose its version or its bucket.
fn strip_our_headers() -> core::TypedExtensionConfig {
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

/// Our filter, whose configuration comes by ECDS. Until it does, and if it never does, an RBAC
/// filter without rules stands in its place: it lets everything pass, and so every request goes
/// to stable.
fn our_filter() -> hcm::HttpFilter {
    use prost::Name as _;

    let source = core::ExtensionConfigSource {
        config_source: Some(core::ConfigSource {
            initial_fetch_timeout: seconds(FILTER_WAIT_SECONDS),
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
