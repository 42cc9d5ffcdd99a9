//! One Envoy of the mesh. Its resources are those of `fixtures/README.md`, over ADS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use prost::Message as _;
use serde_json::{Value, json};
use tidegate_proto::envoy::envoy::config::core::v3::TypedExtensionConfig;
use tidegate_proto::envoy::envoy::extensions::filters::http::wasm::v3::Wasm;
use tidegate_proto::envoy::google::protobuf::Any;
use tidegate_tests::envoy::{Envoy, EnvoyOptions};
use tidegate_tests::{binaries, ports};

use super::ads::Ads;
use super::resource::Resource;

/// The plugin configuration that a user applies.
pub(crate) const PLUGIN: &str = r#"{"fleet":"mesh","report":{"cluster":"outbound|18000||tidegate.tidegate.svc.cluster.local"}}"#;

/// What Istio configures in an Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Requests that a pod sends.
    Sidecar,
    Gateway,
    Waypoint,
    /// Requests that a pod of v1 receives.
    Inbound,
}

/// Discovery responses of a role. The routes are empty if its listener contains them.
struct Fixtures {
    listeners: &'static str,
    routes: &'static str,
    clusters: &'static str,
    endpoints: &'static str,
}

/// What is in the place of the filter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extension<'a> {
    /// The filter with a plugin configuration; `None`: it is absent.
    Filter(Option<&'a str>),
    /// What istio-agent puts there if it cannot fetch the module, with `FAIL_OPEN`.
    AllowAll,
}

/// The addresses behind the clusters, and the tokens that the routes match.
#[derive(Debug, Clone)]
pub(crate) struct Destinations {
    pub(crate) control_plane: SocketAddr,
    pub(crate) v1: SocketAddr,
    pub(crate) v2: SocketAddr,
    pub(crate) tokens: [String; 2],
}

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) envoy: Envoy,
    pub(crate) role: Role,
    pub(crate) ingress: SocketAddr,
    /// Envoy's `node.id`.
    pub(crate) node: String,
    /// The file with the filter's module.
    module: PathBuf,
    ads: Ads,
}

impl Proxy {
    /// Starts an Envoy with the filter in a file. It is not ready yet.
    pub(crate) async fn start(
        dir: &Path,
        name: &str,
        role: Role,
        to: &Destinations,
        module: PathBuf,
    ) -> Result<Self> {
        let ads = Ads::start().await?;
        let (ingress, admin) = (ports::free_address()?, ports::free_address()?);
        let mut resources = role.clusters(to)?;
        resources.extend(role.listeners(ingress, to)?);
        let filter = typed_extension(role, &module, Extension::Filter(Some(PLUGIN)))?;
        let resources = resources.iter().map(Resource::parse).collect::<Result<Vec<_>>>()?;
        ads.replace(resources.into_iter().chain([filter]));
        let node =
            format!("{}~127.10.0.21~{name}.default~default.svc.cluster.local", role.node_type());
        let bootstrap = bootstrap(&node, ads.address, admin);
        let binary = binaries::envoy()?;
        let options = EnvoyOptions::default();
        let envoy = Envoy::start(&binary, name, &bootstrap.to_string(), admin, dir, &options)?;
        Ok(Self { envoy, role, ingress, node, module, ads })
    }

    /// Replaces the filter, or its configuration.
    pub(crate) fn replace(&self, extension: Extension<'_>) -> Result<()> {
        self.ads.replace([typed_extension(self.role, &self.module, extension)?]);
        Ok(())
    }
}

/// As istio-agent writes it: everything by ADS.
fn bootstrap(node: &str, ads: SocketAddr, admin: SocketAddr) -> Value {
    let source = json!({"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"});
    json!({
        "node": {"id": node, "cluster": "app.default"},
        "admin": {"address": socket_address(admin)},
        "static_resources": {"clusters": [{
            "name": "xds-grpc",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": socket_address(ads)}},
            ]}]},
        }]},
        "dynamic_resources": {
            "lds_config": source,
            "cds_config": source,
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
    })
}

impl Role {
    const fn node_type(self) -> &'static str {
        match self {
            Self::Sidecar | Self::Inbound => "sidecar",
            Self::Gateway => "router",
            Self::Waypoint => "waypoint",
        }
    }

    /// The name of the filter.
    const fn extension(self) -> &'static str {
        match self {
            Self::Sidecar | Self::Gateway | Self::Inbound => {
                "extensions.istio.io/trafficextension/istio-system.tidegate"
            }
            Self::Waypoint => {
                "extensions.istio.io/trafficextension/default.tidegate-waypoint~istio-translated-wasmplugin"
            }
        }
    }

    /// Clusters and endpoints, with these addresses.
    fn clusters(self, to: &Destinations) -> Result<Vec<Value>> {
        let Fixtures { clusters, endpoints, .. } = self.fixtures();
        let mut resources = [fixture(clusters)?, fixture(endpoints)?].concat();
        for resource in &mut resources {
            let name = resource["name"].as_str().or_else(|| resource["cluster_name"].as_str());
            let name = name.context("a name")?.to_owned();
            set_addresses(resource, to.of(&name));
        }
        Ok(resources)
    }

    /// The listener at this address, and its routes.
    fn listeners(self, ingress: SocketAddr, to: &Destinations) -> Result<Vec<Value>> {
        let Fixtures { listeners, routes, .. } = self.fixtures();
        let mut listeners = routed(listeners, to)?;
        for listener in &mut listeners {
            listener["address"] = socket_address(ingress);
        }
        let mut resources = [listeners, routed(routes, to)?].concat();
        resources.iter_mut().for_each(remove_headers);
        Ok(resources)
    }

    const fn fixtures(self) -> Fixtures {
        const CLUSTERS: &str = include_str!("fixtures/cds.json");
        const ENDPOINTS: &str = include_str!("fixtures/eds.json");
        match self {
            Self::Sidecar => Fixtures {
                listeners: include_str!("fixtures/sidecar-lds.json"),
                routes: include_str!("fixtures/sidecar-rds.json"),
                clusters: CLUSTERS,
                endpoints: ENDPOINTS,
            },
            Self::Gateway => Fixtures {
                listeners: include_str!("fixtures/gateway-lds.json"),
                routes: include_str!("fixtures/gateway-rds.json"),
                clusters: CLUSTERS,
                endpoints: ENDPOINTS,
            },
            Self::Waypoint => Fixtures {
                listeners: include_str!("fixtures/waypoint-lds.json"),
                routes: "[]",
                clusters: include_str!("fixtures/waypoint-cds.json"),
                endpoints: include_str!("fixtures/waypoint-eds.json"),
            },
            Self::Inbound => Fixtures {
                listeners: include_str!("fixtures/inbound-lds.json"),
                routes: "[]",
                clusters: include_str!("fixtures/inbound-cds.json"),
                endpoints: ENDPOINTS,
            },
        }
    }
}

impl Destinations {
    /// The server behind a cluster.
    fn of(&self, cluster: &str) -> SocketAddr {
        match cluster.split('|').collect::<Vec<_>>()[..] {
            ["inbound", ..] | [_, _, "v1" | "http/v1", _] => self.v1,
            [_, _, "v2" | "http/v2", _] => self.v2,
            _ => self.control_plane,
        }
    }
}

/// Resources whose routes match the tokens of the server's key instead of those of the fixtures.
fn routed(text: &str, to: &Destinations) -> Result<Vec<Value>> {
    let mut text = text.to_owned();
    let fixed = ["6f1c0d5a9b7e4c3f8a2d1e0b9c8f7a6d", "0b9c8f7a6d6f1c0d5a9b7e4c3f8a2d1e"];
    for (fixed, token) in fixed.into_iter().zip(&to.tokens) {
        text = text.replace(fixed, token);
    }
    fixture(&text)
}

/// Lets every route by Tidegate remove its headers, as `headers.request.remove` of a VirtualService does.
fn remove_headers(resource: &mut Value) {
    let routes = nested(resource, "routes").into_iter().flat_map(|it| it.as_array_mut());
    for route in routes.flatten() {
        if route["name"].as_str().is_some_and(|name| name.starts_with("tidegate-")) {
            route["request_headers_to_remove"] = json!(["x-tidegate-version", "x-tidegate-bucket"]);
        }
    }
}

fn set_addresses(resource: &mut Value, address: SocketAddr) {
    for endpoint in nested(resource, "endpoint") {
        endpoint["address"] = socket_address(address);
    }
}

fn fixture(text: &str) -> Result<Vec<Value>> {
    Ok(serde_json::from_str(text)?)
}

fn typed_extension(role: Role, module: &Path, extension: Extension<'_>) -> Result<Resource> {
    let mut resource = fixture(include_str!("fixtures/ecds.json"))?.remove(0);
    resource["name"] = role.extension().into();
    match extension {
        Extension::Filter(configuration) => {
            let config = &mut resource["typed_config"]["config"];
            // As istio-agent does.
            config["vm_config"] = json!({
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module}},
            });
            config["configuration"] = json!({
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration.unwrap_or_default(),
            });
        }
        Extension::AllowAll => {
            resource["typed_config"] = json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            });
        }
    }
    let mut resource = Resource::parse(&resource)?;
    if matches!(extension, Extension::Filter(None)) {
        without_configuration(&mut resource.message)?;
    }
    Ok(resource)
}

/// Leaves the type and the value of the plugin configuration out, as istiod does for a `WasmPlugin` without one.
fn without_configuration(message: &mut Any) -> Result<()> {
    let mut extension = TypedExtensionConfig::decode(&*message.value)?;
    let typed = extension.typed_config.as_mut().context("no configuration of the extension")?;
    let mut wasm = Wasm::decode(&*typed.value)?;
    wasm.config.as_mut().context("no plugin")?.configuration = Some(Any::default());
    typed.value = wasm.encode_to_vec();
    message.value = extension.encode_to_vec();
    Ok(())
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// All values of a key at any depth, but not within one another.
fn nested<'a>(value: &'a mut Value, key: &str) -> Vec<&'a mut Value> {
    match value {
        Value::Object(fields) => fields
            .iter_mut()
            .flat_map(|(name, value)| if name == key { vec![value] } else { nested(value, key) })
            .collect(),
        Value::Array(items) => items.iter_mut().flat_map(|item| nested(item, key)).collect(),
        _ => Vec::new(),
    }
}
