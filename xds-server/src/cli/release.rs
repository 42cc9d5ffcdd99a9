//! `tidegate release`: commands name a service and act on its newest release.

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate::api::explain::Explanation;
use tidegate::api::views::Service;
use tidegate_delivery::units::Timestamp;

use super::client::{Client, Origin, Target};
use super::failure::Failure;
use super::group;
use super::output::{self, Format};
use super::times;

/// Start, promote, pause, resume, approve, abort, roll back or explain releases.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    origin: Origin,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a release of a service
    Start {
        /// The service
        service: String,
        /// The candidate version
        #[arg(long)]
        version: String,
        /// A JSON file with a plan, in the form of `strategy` in the configuration; replaces the service's own
        #[arg(long)]
        plan: Option<PathBuf>,
        /// The commit that the candidate was built from
        #[arg(long)]
        commit: Option<String>,
        /// The time of that commit, from which lead time is measured; `git show -s --format=%cI` prints it
        #[arg(long, value_parser = times::parse)]
        committed_at: Option<Timestamp>,
    },
    /// Enter the next step now; while watching at 100 %, complete the release
    Promote {
        /// The service
        service: String,
        /// Go to 100 % at once
        #[arg(long)]
        all: bool,
    },
    /// Pause at the current weight; guardrails still roll the release back
    Pause {
        /// The service
        service: String,
    },
    /// Resume a paused release
    Resume {
        /// The service
        service: String,
    },
    /// Approve the next step in a role; the operator who started the release cannot approve it
    Approve {
        /// The service
        service: String,
        /// The role, as listed under `approvals`
        #[arg(long)]
        role: String,
    },
    /// Explain the state of the release and what blocks it
    Explain {
        /// The service
        service: String,
    },
    /// Abort before 100 %: all traffic returns to the stable version
    Abort {
        /// The service
        service: String,
    },
    /// Roll back to the stable version; after completion, to the previous version
    Rollback {
        /// The service
        service: String,
    },
    /// Release several services as a group: steps and rollback are atomic
    #[command(subcommand)]
    Group(group::Verb),
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let mut body = args.origin.body();
    let (service, verb) = match args.verb {
        Verb::Start { service, version, plan, commit, committed_at } => {
            body.insert("version".to_owned(), json!(version));
            if let Some(path) = plan {
                body.insert("plan".to_owned(), super::flag::read_json(&path)?);
            }
            body.extend(commit.map(|commit| ("commit".to_owned(), json!(commit))));
            body.extend(committed_at.map(|at| ("committed_at".to_owned(), json!(at))));
            let path = ["services", &service, "releases"];
            let answer = client.ask(Method::POST, &path, &[], Some(&body.into())).await?;
            return done(&answer, args.target.output);
        }
        Verb::Promote { service, all } => {
            body.insert("all".to_owned(), json!(all));
            (service, "promote")
        }
        Verb::Approve { service, role } => {
            body.insert("role".to_owned(), json!(role));
            (service, "approve")
        }
        Verb::Group(verb) => {
            return group::run(verb, &client, body, args.target.output).await;
        }
        Verb::Explain { service } => return explain(&client, &service, args.target.output).await,
        Verb::Pause { service } => (service, "pause"),
        Verb::Resume { service } => (service, "resume"),
        Verb::Abort { service } => (service, "abort"),
        Verb::Rollback { service } => (service, "rollback"),
    };
    let id = newest(&client, &service).await?;
    let path = ["releases", &id, verb];
    let answer = client.ask(Method::POST, &path, &[], Some(&body.into())).await?;
    done(&answer, args.target.output)
}

async fn newest(client: &Client, service: &str) -> Result<String, Failure> {
    let answer = client.get(&["services", service]).await?;
    let service: Service = client.read(&answer)?;
    let release = service.release.ok_or_else(|| {
        let name = &service.name;
        Failure::Input(format!(
            "service `{name}` has no release; start one with \
             `tidegate release start {name} --version V`"
        ))
    })?;
    Ok(release.id.to_string())
}

async fn explain(client: &Client, service: &str, format: Format) -> Result<(), Failure> {
    let id = newest(client, service).await?;
    let answer = client.get(&["releases", &id, "explain"]).await?;
    match format {
        Format::Json => output::json(&answer),
        Format::Table => {
            let explanation: Explanation = client.read(&answer)?;
            output::print(&explanation.text.join("\n"))
        }
    }
}

/// Prints the outcome of a command.
pub(super) fn done(outcome: &Value, format: Format) -> Result<(), Failure> {
    match (format, outcome.get("message").and_then(Value::as_str)) {
        (Format::Table, Some(message)) => output::print(message),
        _ => output::json(outcome),
    }
}
