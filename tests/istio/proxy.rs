//! One Envoy of the mesh. Its resources are files, see `fixtures/README.md`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tidegate_tests::envoy::{Envoy, EnvoyOptions};
use tidegate_tests::{binaries, ports};

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
    files: Files,
}

/// Discovery responses in a directory. Envoy reads a file again when it is replaced.
#[derive(Debug)]
struct Files {
    dir: PathBuf,
    written: u64,
}

impl Proxy {
    /// Starts an Envoy with the filter in a file. It is not ready yet.
    pub(crate) fn start(
        dir: &Path,
        name: &str,
        role: Role,
        to: &Destinations,
        module: PathBuf,
    ) -> Result<Self> {
        let mut files = Files { dir: dir.join(format!("{name}-xds")), written: 0 };
        fs::create_dir_all(&files.dir)?;
        let (ingress, admin) = (ports::free_address()?, ports::free_address()?);
        files.write(
            "ecds",
            vec![typed_extension(role, &module, Extension::Filter(Some(PLUGIN)))?],
        )?;
        files.clusters(role, to)?;
        files.listener(role, ingress, to)?;
        let node =
            format!("{}~127.10.0.21~{name}.default~default.svc.cluster.local", role.node_type());
        let bootstrap = json!({
            "node": {"id": node, "cluster": "app.default"},
            "admin": {"address": socket_address(admin)},
            "dynamic_resources": {
                "lds_config": files.source("lds"),
                "cds_config": files.source("cds"),
            },
        });
        let binary = binaries::envoy()?;
        let options = EnvoyOptions::default();
        let envoy = Envoy::start(&binary, name, &bootstrap.to_string(), admin, dir, &options)?;
        Ok(Self { envoy, role, ingress, node, module, files })
    }

    /// Replaces the filter, or its configuration.
    pub(crate) fn replace(&mut self, extension: Extension<'_>) -> Result<()> {
        self.files.write("ecds", vec![typed_extension(self.role, &self.module, extension)?])
    }
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

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    fn source(&self, name: &str) -> Value {
        json!({"path_config_source": {"path": self.path(name)}, "resource_api_version": "V3"})
    }

    fn write(&mut self, name: &str, resources: Vec<Value>) -> Result<()> {
        self.written += 1;
        let response = json!({"version_info": self.written.to_string(), "resources": resources});
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, response.to_string())?;
        fs::rename(new, self.path(name)).context("cannot replace a discovery response")
    }

    fn clusters(&mut self, role: Role, to: &Destinations) -> Result<()> {
        let Fixtures { clusters, endpoints, .. } = role.fixtures();
        let mut clusters = fixture(clusters)?;
        for (number, mut endpoints) in fixture(endpoints)?.into_iter().enumerate() {
            let name = endpoints["cluster_name"].as_str().context("a name")?.to_owned();
            set_addresses(&mut endpoints, to.of(&name));
            let file = format!("eds-{number}");
            self.write(&file, vec![endpoints])?;
            for cluster in clusters.iter_mut().filter(|cluster| cluster["name"] == name.as_str()) {
                cluster["eds_cluster_config"]["eds_config"] = self.source(&file);
            }
        }
        for cluster in &mut clusters {
            let name = cluster["name"].as_str().context("a name")?.to_owned();
            set_addresses(cluster, to.of(&name));
        }
        self.write("cds", clusters)
    }

    fn listener(&mut self, role: Role, ingress: SocketAddr, to: &Destinations) -> Result<()> {
        let Fixtures { listeners, routes, .. } = role.fixtures();
        let mut routes = routed(routes, to)?;
        routes.iter_mut().for_each(remove_headers);
        if !routes.is_empty() {
            self.write("rds", routes)?;
        }
        let mut listeners = routed(listeners, to)?;
        for listener in &mut listeners {
            remove_headers(listener);
            listener["address"] = socket_address(ingress);
            for rds in nested(listener, "rds") {
                rds["config_source"] = self.source("rds");
            }
            for discovery in nested(listener, "config_discovery") {
                discovery["config_source"] = self.source("ecds");
            }
        }
        self.write("lds", listeners)
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

fn typed_extension(role: Role, module: &Path, extension: Extension<'_>) -> Result<Value> {
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
            config["configuration"] = match configuration {
                Some(text) => {
                    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
                }
                None => json!({}),
            };
        }
        Extension::AllowAll => {
            resource["typed_config"] = json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            });
        }
    }
    Ok(resource)
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
