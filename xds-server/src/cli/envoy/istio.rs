//! `tidegate envoy istio`: the objects of an Istio mesh, and the rotation of the key of its route tokens.

use std::path::PathBuf;

use clap::ValueEnum;
use tidegate::config::{self, Config};
use tidegate::istio::manifests::{
    self, ControlPlanePorts, ExtensionKind, FilterOptions, ImageUrl, Options, RouteKind, Waypoint,
};
use tidegate::istio::tokens::{KeyError, KeyStore, Keys};
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::names::{FleetName, ServiceName};
use tidegate_xds::mesh::{Fleet, IstioMesh};

use crate::cli::failure::Failure;
use crate::cli::output;

/// Print the objects of an Istio mesh: the filter, and the routes of services. Apply them once.
///
/// The routes contain tokens, whose key is in the `data_dir` of the server: run this command where the server runs, as its user.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Services; all of the fleet if none is given
    services: Vec<ServiceName>,
    /// The configuration file of the server
    #[arg(short, long, env = "TIDEGATE_CONFIG", default_value = "tidegate.yaml")]
    config: PathBuf,
    /// The fleet, if there is more than one of an Istio mesh
    #[arg(long)]
    fleet: Option<FleetName>,
    /// Print the filter and the way to the control plane too, with this image, as `tidegate envoy image --push` prints it
    #[arg(long, value_name = "oci://REGISTRY/REPOSITORY@sha256:DIGEST")]
    image: Option<ImageUrl>,
    /// The secret with the credentials of the registry, in the namespace of the filter's object
    #[arg(long, value_name = "NAME", requires = "image")]
    pull_secret: Option<String>,
    /// What a proxy does when the module cannot be fetched or has failed
    #[arg(long, value_enum, default_value = "open")]
    fail_strategy: FailStrategy,
    /// Print a TrafficExtension instead of a WasmPlugin, for Istio 1.30 and newer
    #[arg(long, requires = "image")]
    traffic_extension: bool,
    /// A waypoint that runs the filter; repeat for each
    #[arg(long = "waypoint", value_name = "[NAMESPACE/]NAME", requires = "image")]
    waypoints: Vec<Waypoint>,
    /// Print HTTPRoutes of the Gateway API instead of VirtualServices
    #[arg(long, conflicts_with = "gateways")]
    gateway_api: bool,
    /// A gateway whose requests for the `hosts` of a service are routed too; repeat for each
    #[arg(long = "gateway", value_name = "NAMESPACE/NAME")]
    gateways: Vec<String>,
    /// Print an EnvoyFilter that removes Tidegate's headers from requests before routes are matched
    #[arg(long)]
    strip: bool,
    /// Begin a rotation: add a key, and print routes that match the tokens of both
    #[arg(long, group = "rotation")]
    rotate: bool,
    /// After --rotate, when every proxy has the routes that it printed: let filters send the tokens of the added key
    #[arg(long, group = "rotation", conflicts_with = "services")]
    activate: bool,
    /// After --activate: remove the previous key. The server does this when no filter reports it
    #[arg(long, group = "rotation", conflicts_with = "services")]
    retire: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FailStrategy {
    /// Requests pass without it, to stable. A failed module is not loaded again
    Open,
    /// A failed module is loaded again; until then requests fail, also if the module cannot be fetched
    Reload,
    /// Requests fail
    Close,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(&args.config)?;
    let (fleet, mesh) = fleet(&config, args.fleet.as_ref())?;
    let keys = KeyStore::existing(&config.data_dir).map_err(failure)?;
    if args.activate {
        let keys = keys.activate().map_err(failure)?;
        return output::print(&format!(
            "key {} is active: filters receive its tokens. The server removes the previous key when none reports it",
            keys.sent().id()
        ));
    }
    if args.retire {
        let keys = keys.retire().map_err(failure)?;
        return output::print(&format!(
            "key {} is the only one; print and apply the routes again, so that they match its tokens alone",
            keys.sent().id()
        ));
    }
    let services = services(&config, fleet, &args.services)?;
    let options = options(args, &config);
    let build = |keys: &Keys| {
        manifests::build(&fleet.name, mesh, &services, keys, &options)
            .map_err(|error| Failure::Input(error.to_string()))
    };
    let mut printed = build(&keys.read().map_err(failure)?)?;
    if args.rotate {
        printed = build(&keys.rotate().map_err(failure)?)?;
    }
    output::print(printed.to_yaml().trim_end())
}

fn failure(error: KeyError) -> Failure {
    Failure::Input(error.to_string())
}

/// The fleet of this name, or the only one of an Istio mesh.
fn fleet<'a>(
    config: &'a Config,
    name: Option<&FleetName>,
) -> Result<(&'a Fleet, &'a IstioMesh), Failure> {
    let istio = config.mesh.fleets.iter().filter_map(|fleet| Some((fleet, fleet.istio()?)));
    let mut chosen = istio.clone().filter(|(fleet, _)| name.is_none_or(|name| fleet.name == *name));
    match (chosen.next(), chosen.next()) {
        (Some(one), None) => Ok(one),
        _ => {
            let known: Vec<_> = istio.map(|(fleet, _)| fleet.name.to_string()).collect();
            Err(Failure::Input(if known.is_empty() {
                "no fleet is one of an Istio mesh; add one such as {name: mesh, istio: {}}"
                    .to_owned()
            } else {
                format!("pass --fleet with one of {}", known.join(", "))
            }))
        }
    }
}

fn services<'a>(
    config: &'a Config,
    fleet: &Fleet,
    names: &[ServiceName],
) -> Result<Vec<&'a ServiceSpec>, Failure> {
    let all: Vec<_> = config.services.iter().filter(|it| fleet.serves(&it.name)).collect();
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &ServiceName| {
        all.iter().find(|it| it.name == *name).copied().ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|it| it.name.to_string()).collect();
            Failure::Input(format!(
                "fleet `{}` does not include a service `{name}`; it includes {}",
                fleet.name,
                known.join(", ")
            ))
        })
    };
    names.iter().map(find).collect()
}

fn options(args: &Args, config: &Config) -> Options {
    let filter = args.image.as_ref().map(|image| FilterOptions {
        image: image.clone(),
        pull_secret: args.pull_secret.clone(),
        extension: if args.traffic_extension {
            ExtensionKind::TrafficExtension
        } else {
            ExtensionKind::WasmPlugin
        },
        fail_strategy: match args.fail_strategy {
            FailStrategy::Open => manifests::FailStrategy::Open,
            FailStrategy::Reload => manifests::FailStrategy::Reload,
            FailStrategy::Close => manifests::FailStrategy::Close,
        },
        waypoints: args.waypoints.clone(),
        ports: ControlPlanePorts { xds: config.listen.xds.port(), api: config.listen.api.port() },
    });
    let routes = if args.gateway_api { RouteKind::HttpRoute } else { RouteKind::VirtualService };
    Options { filter, routes, gateways: args.gateways.clone(), strip: args.strip }
}
