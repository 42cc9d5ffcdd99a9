//! `tidegate release`: a service has at most one running, so its name says which.

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

/// Start a release, or ask something of the newest one of a service.
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
    /// Begin to move a service to another version
    Start {
        /// The service
        service: String,
        /// The version that is to take over
        #[arg(long)]
        version: String,
        /// A file with a plan instead of the service's own: JSON, as `strategy` in the configuration
        #[arg(long)]
        plan: Option<PathBuf>,
        /// The commit that it brings to production
        #[arg(long)]
        commit: Option<String>,
        /// When that was committed: lead time is measured from it. `git show -s --format=%cI` prints it
        #[arg(long, value_parser = times::parse)]
        committed_at: Option<Timestamp>,
    },
    /// Enter the next step now; while it is watched at 100 %: complete now
    Promote {
        /// The service
        service: String,
        /// Go to 100 % at once
        #[arg(long)]
        all: bool,
    },
    /// Hold it where it is; a guardrail still rolls it back
    Pause {
        /// The service
        service: String,
    },
    /// Let it go on
    Resume {
        /// The service
        service: String,
    },
    /// Let it enter its next step, as one of those who must say so; not your own release
    Approve {
        /// The service
        service: String,
        /// As what
        #[arg(long)]
        role: String,
    },
    /// Say why it is where it is, and what it waits for
    Explain {
        /// The service
        service: String,
    },
    /// Give it up before it is at 100 %: everything goes to stable
    Abort {
        /// The service
        service: String,
    },
    /// Everything goes to stable; after a complete release to the version before it
    Rollback {
        /// The service
        service: String,
    },
    /// Release several services together: each step, and back
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
            "service `{name}` has had no release; begin one with \
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
            let told: Explanation = client.read(&answer)?;
            output::print(&told.text.join("\n"))
        }
    }
}

/// Prints what became of a command.
pub(super) fn done(outcome: &Value, format: Format) -> Result<(), Failure> {
    match (format, outcome.get("message").and_then(Value::as_str)) {
        (Format::Table, Some(message)) => output::print(message),
        _ => output::json(outcome),
    }
}
