//! `tidegate init`: a commented configuration for the given services.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use tidegate::config::{self, LoadError};
use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::names::{FleetName, ServiceName};

use super::failure::Failure;
use super::output;

/// The filter's file beside the program, as `make build` and packages leave it.
const FILTER: &str = "tidegate_filter.wasm";

/// Write a commented configuration for the given services. It is valid at once: `tidegate serve` starts with it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A service with the address of each version, the first of which is stable. Instances of one version are joined by `+`:
    /// order=10.0.0.1:80+10.0.0.2:80,10.0.1.1:80
    #[arg(required = true, value_name = "SERVICE=HOST:PORT[,HOST:PORT]…")]
    services: Vec<String>,
    /// The fleet: the `node.cluster` of the sidecars
    #[arg(long, value_name = "NAME", default_value = "edge")]
    fleet: FleetName,
    /// The directory of the journal, relative to the configuration file
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data_dir: PathBuf,
    /// The filter's file, as the sidecars see it. Default: the one of this installation
    #[arg(long, env = "TIDEGATE_FILTER", value_name = "FILE")]
    filter: Option<PathBuf>,
    /// Write the configuration to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long, requires = "out")]
    force: bool,
}

/// A service, with the endpoints of each version. The first version is stable.
#[derive(Debug, PartialEq, Eq)]
struct NewService {
    name: ServiceName,
    versions: Vec<Vec<Endpoint>>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let services = parse(&args.services).map_err(|errors| Failure::Input(errors.join("\n")))?;
    let filter = args.filter.clone().unwrap_or_else(filter);
    let text = configuration(&services, &args.fleet, &args.data_dir, &filter);
    // Names and addresses may be valid and not fit together, such as hosts that are equal.
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from("tidegate.yaml"));
    if let Err(problems) = config::check(&text, path.parent().unwrap_or(Path::new(""))) {
        return Err(Failure::Config(LoadError::Invalid { path, text, problems }));
    }
    let Some(path) = &args.out else {
        return output::print(text.trim_end());
    };
    write(path, &text, args.force)?;
    output::print(&format!(
        "{0} is written. Next:\n  tidegate serve --config {0}\n  tidegate envoy run --fleet {1}\n  tidegate status",
        path.display(),
        args.fleet
    ))
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    let options =
        if force { options.create(true).truncate(true) } else { options.create_new(true) };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let path = path.display();
        Failure::Input(match error.kind() {
            ErrorKind::AlreadyExists => {
                format!("{path} exists already; take another name, or overwrite it with --force")
            }
            _ => format!("--out: cannot write {path}: {error}"),
        })
    })
}

/// The filter beside this program, that of the package, or where `make build` leaves it.
fn filter() -> PathBuf {
    let program = std::env::current_exe().ok();
    let directory = program.as_deref().and_then(Path::parent);
    let beside = directory.map(|it| it.join(FILTER));
    let packaged = directory.and_then(Path::parent).map(|it| it.join("lib/tidegate").join(FILTER));
    let mut installed = beside.into_iter().chain(packaged);
    installed.find(|path| path.is_file()).unwrap_or_else(|| Path::new("dist").join(FILTER))
}

/// All services, or all errors.
fn parse(arguments: &[String]) -> Result<Vec<NewService>, Vec<String>> {
    let (mut services, mut errors) = (Vec::<NewService>::new(), Vec::new());
    for argument in arguments {
        let Some((name, addresses)) = argument.split_once('=') else {
            errors.push(format!(
                "`{argument}`: write SERVICE=HOST:PORT, such as order=127.0.0.1:9101"
            ));
            continue;
        };
        let versions = versions(addresses, |error| errors.push(format!("`{name}`: {error}")));
        match name.parse::<ServiceName>() {
            Err(error) => errors.push(format!("`{name}`: {error}")),
            Ok(name) if services.iter().any(|it| it.name == name) => {
                errors.push(format!("`{name}` is given twice; join its addresses by commas"));
            }
            Ok(name) => services.push(NewService { name, versions }),
        }
    }
    if errors.is_empty() { Ok(services) } else { Err(errors) }
}

fn versions(addresses: &str, mut refuse: impl FnMut(String)) -> Vec<Vec<Endpoint>> {
    let mut all = Vec::new();
    for version in addresses.split(',') {
        let mut endpoints = Vec::new();
        for address in version.split('+') {
            match config::endpoint(address) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(fault) => refuse(fault.to_string()),
            }
        }
        all.push(endpoints);
    }
    all
}

/// A text as a YAML scalar: JSON strings are YAML.
fn scalar(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn configuration(
    services: &[NewService],
    fleet: &FleetName,
    data_dir: &Path,
    filter: &Path,
) -> String {
    let mut text = format!(
        r#"# Written by `tidegate init`. Check an edit: tidegate validate FILE. A running server applies it at once.
# Every setting: tidegate schema; envoy/tidegate.yaml is a complete example.

listen:
  xds: "127.0.0.1:18000"   # sidecars: xDS and reports. Other addresses require mutual TLS: docs/security.md
  api: "127.0.0.1:8080"    # REST and metrics, without authentication

data_dir: {data_dir}   # the journal

filter:
  wasm: {filter}   # as every sidecar sees it

fleets:
  - name: {fleet}   # Envoys with this `node.cluster`: tidegate envoy run --fleet {fleet_argument}
    listeners:
      - {{name: ingress, address: "127.0.0.1:10000", services: ["*"]}}   # all services, also those added later

defaults:
  guardrails:              # a release that breaks one is rolled back; `alert` and `warning` block its steps
    error_rate: {{alert: 1%, rollback: 5%}}
    latency: {{quantile: p99, warning: 2s, critical: 5s, rollback: 10s}}

services:
"#,
        data_dir = scalar(&data_dir.display().to_string()),
        filter = scalar(&filter.display().to_string()),
        fleet = scalar(fleet.as_str()),
        fleet_argument = fleet,
    );
    for service in services {
        add_service(&mut text, service);
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn add_service(text: &mut String, NewService { name, versions }: &NewService) {
    // Host names have neither capitals nor underscores.
    let host = name.as_str().to_ascii_lowercase().replace('_', "-") + ".local";
    let (quoted_host, name_scalar) = (scalar(&host), scalar(name.as_str()));
    let mut lines = format!(
        r#"  - name: {name_scalar}
    hosts: [{quoted_host}]   # requests with this `Host` are routed to it: curl -H 'host: {host}' http://127.0.0.1:10000
    identity: [{{header: x-user-id}}]   # a user stays on one version; without the header by a cookie
    strategy:
      canary:
        steps: [5%, 25%, 50%, 100%]
        step_time: 1m      # the least time of a step
        min_requests: 50   # the least number of requests in a step
        watch: 5m          # guardrails stay active in the last step, where 5 % of the users stay on stable
    stable: v1
    versions:
"#
    );
    for (number, endpoints) in (1..).zip(versions) {
        let endpoints: Vec<_> = endpoints.iter().map(|it| scalar(&it.to_string())).collect();
        // Writing to a String cannot fail.
        writeln!(lines, "      - {{name: v{number}, endpoints: [{}]}}", endpoints.join(", ")).ok();
    }
    lines += &match versions.len() {
        1 => format!(
            "    # The next version: tidegate version set {name} v2 --endpoint HOST:PORT\n\n"
        ),
        _ => format!("    # Release the next version: tidegate release start {name} v2\n\n"),
    };
    *text += &lines;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|it| (*it).to_owned()).collect()
    }

    fn checked(texts: &[&str]) -> config::Config {
        let services = parse(&arguments(texts)).unwrap();
        let text = configuration(
            &services,
            &"edge".parse().unwrap(),
            Path::new("./data"),
            Path::new("it's/filter.wasm"),
        );
        config::check(&text, Path::new(""))
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }

    #[test]
    fn the_configuration_is_valid_and_has_what_was_given() {
        let config = checked(&[
            "order=127.0.0.1:9101,127.0.0.1:9102",
            "payment=10.0.0.1:80+pay.internal:80,[::1]:80",
            "no=127.0.0.1:9301",
            "1.5=127.0.0.1:9302",
        ]);
        let [order, payment, no, number] = config.services.as_slice() else {
            panic!("{:?}", config.services);
        };
        assert_eq!((order.name.as_str(), order.stable.as_str()), ("order", "v1"));
        assert_eq!(order.versions["v2"].endpoints[0].to_string(), "127.0.0.1:9102");
        let v1: Vec<_> = payment.versions["v1"].endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(v1, ["10.0.0.1:80", "pay.internal:80"]);
        assert_eq!(payment.versions["v2"].endpoints[0].to_string(), "[::1]:80");
        assert_eq!((no.name.as_str(), no.versions.len()), ("no", 1));
        assert_eq!(number.name.as_str(), "1.5", "quoted: not a number");
        assert_eq!(config.mesh.fleets[0].name.as_str(), "edge");
    }

    #[test]
    fn all_errors_are_told_at_once() {
        let given = [
            "or der=127.0.0.1:1",
            "order=127.0.0.1:1",
            "order=127.0.0.1:2",
            "pay",
            "user=nope,10.0.0.1:0,:80",
            "cart=",
        ];
        let errors = parse(&arguments(&given)).unwrap_err();
        for (name, words) in [
            ("`or der`", "only letters"),
            ("`order`", "is given twice"),
            ("`pay`", "write SERVICE=HOST:PORT"),
            ("`user`", "nope"),
            ("`user`", "10.0.0.1:0"),
            ("`user`", ":80"),
            ("`cart`", "host:port"),
        ] {
            let is_told = errors.iter().any(|it| it.starts_with(name) && it.contains(words));
            assert!(is_told, "no {name} {words:?} in {errors:#?}");
        }
        assert_eq!(errors.len(), 7, "{errors:#?}");
    }

    #[test]
    fn a_file_is_not_overwritten_by_chance() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tidegate.yaml");
        write(&path, "first", false).unwrap();
        let error = write(&path, "second", false).unwrap_err().to_string();
        assert!(error.contains("exists already") && error.contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        write(&path, "2", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2");
        assert!(write(&dir.path().join("no/where"), "", false).is_err());
    }
}
