//! `tidegate version`: the versions of a service, their endpoints, check results, signals and quarantine, and whether flags may
//! select them.

mod list;

use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use tidegate::api::views::Service;
use tidegate_delivery::units::Timestamp;

pub(super) use self::list::versions_of;
use super::client::{Client, Origin, Target};
use super::confirm::Confirmation;
use super::failure::Failure;
use super::output;
use super::release::print_outcome;
use super::text;

/// List, register and remove versions, report their check results and signals, lift a quarantine, or allow flags to select one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    origin: Origin,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the versions of a service
    List {
        /// The service
        service: String,
    },
    /// Register a version, or replace its endpoints, also while it serves
    Set {
        /// The service
        service: String,
        /// The version
        version: String,
        /// An instance that serves it; repeat for each. Optional for a version in Istio
        #[arg(
            long = "endpoint",
            value_name = "HOST:PORT",
            required_unless_present_any = ["istio_subset", "istio_host", "environment"]
        )]
        endpoints: Vec<String>,
        /// Its subset in Istio. Its pods have the label `version` with the name of the version
        #[arg(long, value_name = "NAME", conflicts_with = "istio_host")]
        istio_subset: Option<String>,
        /// Its host in Istio
        #[arg(long, value_name = "HOST")]
        istio_host: Option<String>,
        /// Its environment, for a blue/green service
        #[arg(long, value_enum)]
        environment: Option<Environment>,
        /// The commit that it was built from: that of its releases
        #[arg(long)]
        commit: Option<String>,
        /// The time of that commit, from which lead time is measured; `git show -s --format=%cI` prints it
        #[arg(long, value_parser = text::parse_time)]
        committed_at: Option<Timestamp>,
    },
    /// Remove a version that no longer serves; nothing happens if there is none. It stays removed until its declaration in the
    /// configuration is edited, or it is registered again
    Remove {
        /// The service
        service: String,
        /// The version
        version: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Report the result of a check that the service requires
    Check {
        /// The service
        service: String,
        /// The version
        version: String,
        /// The check
        #[arg(long)]
        name: String,
        /// The result
        #[arg(long, value_enum)]
        result: CheckOutcome,
        /// A link to the details
        #[arg(long)]
        url: Option<String>,
    },
    /// Raise or clear a signal: security rolls the version back and quarantines it, business blocks its release
    Signal {
        /// The service
        service: String,
        /// The version
        version: String,
        /// The kind of signal
        #[arg(long, value_enum)]
        kind: Kind,
        /// The name of the signal
        #[arg(long)]
        name: String,
        /// `bad` raises the signal, `ok` clears it
        #[arg(long, value_enum)]
        status: Status,
    },
    /// Lift the quarantine of a version
    Unquarantine {
        /// The service
        service: String,
        /// The version
        version: String,
    },
    /// Allow flags to select a version that was rolled back
    AllowFlags {
        /// The service
        service: String,
        /// The version
        version: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Environment {
    Blue,
    Green,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckOutcome {
    Passed,
    Failed,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Security,
    Business,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Bad,
    Ok,
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    let client = Client::new(target)?;
    let mut body = args.origin.body();
    let submit = async |method, path: &[&str], body: Map<String, Value>| {
        print_outcome(&client.call(method, path, &[], Some(&body.into())).await?, target.output)
    };
    match &args.verb {
        Verb::List { service } => {
            let answer = client.get(&["services", service]).await?;
            let versions = answer.get("versions").cloned().unwrap_or_default();
            output::list(target.output, &versions, || {
                let service: Service = client.read(&answer)?;
                Ok(versions_of(std::slice::from_ref(&service)))
            })
        }
        Verb::Remove { service, version, confirmation } => {
            confirmation.ask(&format!("Version `{version}` of `{service}` is removed"))?;
            submit(Method::DELETE, &["services", service, "versions", version], body).await
        }
        Verb::Set {
            service,
            version,
            endpoints,
            istio_subset,
            istio_host,
            environment,
            commit,
            committed_at,
        } => {
            body.insert("endpoints".to_owned(), json!(endpoints));
            let target = istio_subset.as_ref().map(|name| json!({"subset": name}));
            let target = target.or_else(|| istio_host.as_ref().map(|host| json!({"host": host})));
            body.extend(target.map(|it| ("istio".to_owned(), it)));
            let environment = environment.map(|it| match it {
                Environment::Blue => "blue",
                Environment::Green => "green",
            });
            body.extend(environment.map(|it| ("environment".to_owned(), json!(it))));
            body.extend(commit.as_ref().map(|commit| ("commit".to_owned(), json!(commit))));
            body.extend(committed_at.map(|at| ("committed_at".to_owned(), json!(text::time(at)))));
            submit(Method::PUT, &["services", service, "versions", version], body).await
        }
        Verb::Check { service, version, name, result, url } => {
            body.insert("name".to_owned(), json!(name));
            body.insert("passed".to_owned(), json!(*result == CheckOutcome::Passed));
            body.extend(url.as_ref().map(|url| ("url".to_owned(), json!(url))));
            submit(Method::POST, &["services", service, "versions", version, "checks"], body).await
        }
        Verb::Signal { service, version, kind, name, status } => {
            let kind = match kind {
                Kind::Security => "security",
                Kind::Business => "business",
            };
            let status = match status {
                Status::Bad => "bad",
                Status::Ok => "ok",
            };
            for (key, value) in
                [("kind", kind), ("version", version), ("name", name), ("status", status)]
            {
                body.insert(key.to_owned(), json!(value));
            }
            submit(Method::POST, &["services", service, "signals"], body).await
        }
        Verb::Unquarantine { service, version } => {
            let path = ["services", service, "versions", version, "quarantine"];
            submit(Method::DELETE, &path, body).await
        }
        Verb::AllowFlags { service, version } => {
            let path = ["services", service, "versions", version, "allow-flags"];
            submit(Method::POST, &path, body).await
        }
    }
}
