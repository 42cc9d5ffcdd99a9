//! `tidegate release`. The commands name a service and act on its newest release; `rollback` can name another one.

mod explain;
pub(super) mod list;

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tidegate::api::views::{ReleaseView, Service};
use tidegate_delivery::units::Timestamp;

use super::client::{Client, Origin, Target};
use super::confirm::Confirmation;
use super::failure::Failure;
use super::flag::read_json;
use super::group;
use super::output::{self, Format};
use super::text;
use super::wait::{self, Until};

/// Start, await, list, promote, pause, resume, approve, abort, roll back or explain releases.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
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
        #[arg(value_name = "VERSION", required_unless_present = "version")]
        candidate: Option<String>,
        /// The same, as an option
        #[arg(long, conflicts_with = "candidate")]
        version: Option<String>,
        /// A JSON file with a plan, in the form of `strategy` in the configuration; at least as strict as the service's own
        #[arg(long)]
        plan: Option<PathBuf>,
        /// The commit that the candidate was built from
        #[arg(long)]
        commit: Option<String>,
        /// The time of that commit, from which lead time is measured; `git show -s --format=%cI` prints it
        #[arg(long, value_parser = text::parse_time)]
        committed_at: Option<Timestamp>,
        /// Then wait for its completion, as `release wait` does
        #[arg(long)]
        wait: bool,
        /// Give up waiting after this time
        #[arg(long, value_name = "DURATION", requires = "wait", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
    },
    /// Wait until the newest release of a service has completed, for pipelines; the exit code says how it ended
    Wait {
        /// The service
        service: String,
        #[command(flatten)]
        until: Until,
    },
    /// List the newest release of each service
    List {
        /// Only this service
        service: Option<String>,
    },
    /// Show the releases of a service, newest first, with their ends
    History {
        /// The service
        service: String,
        /// The maximum number of releases
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Enter the next step now; while watching, complete the release
    Promote {
        /// The service
        service: String,
        /// Go to 100 % at once
        #[arg(long, conflicts_with = "from_step")]
        all: bool,
        /// Only if the release is on this step (0 before the first), else change nothing. Default: the current step
        #[arg(long, value_name = "N")]
        from_step: Option<usize>,
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
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Roll back to the stable version; after completion, to the previous version
    Rollback {
        /// The service
        service: String,
        /// The release: the newest, or the one that completed last. Default: the newest
        #[arg(long, value_name = "ID")]
        release: Option<String>,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Release several services as a group: steps and rollback are atomic
    #[command(subcommand)]
    Group(group::Verb),
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    let client = Client::new(target)?;
    let mut body = args.origin.body();
    let (service, verb) = match args.verb {
        Verb::Start { service, candidate, version, plan, commit, committed_at, wait, timeout } => {
            body.insert("version".to_owned(), json!(candidate.or(version)));
            if let Some(path) = plan {
                body.insert("plan".to_owned(), read_json(&path)?);
            }
            body.extend(commit.map(|commit| ("commit".to_owned(), json!(commit))));
            body.extend(committed_at.map(|at| ("committed_at".to_owned(), json!(text::time(at)))));
            let path = ["services", &service, "releases"];
            let answer = client.call(Method::POST, &path, &[], Some(&body.into())).await?;
            print_outcome(&answer, target.output)?;
            if wait {
                let release = newest(&client, &service).await?;
                let until = Until::completed(timeout);
                wait::run(&client, &service, release.id.as_ref(), &until).await?;
            }
            return Ok(());
        }
        Verb::Wait { service, until } => {
            let release = newest(&client, &service).await?;
            return wait::run(&client, &service, release.id.as_ref(), &until).await;
        }
        Verb::List { service } => {
            return list::newest(&client, service.as_deref(), target.output).await;
        }
        Verb::History { service, limit } => {
            return list::history(&client, &service, limit, target.output).await;
        }
        Verb::Promote { service, all, from_step } => {
            let release = newest(&client, &service).await?;
            let from_step = from_step.unwrap_or_else(|| release.step.unwrap_or(0));
            promotion(&mut body, all, from_step);
            return submit(&client, &release, "promote", body, target.output).await;
        }
        Verb::Approve { service, role } => {
            body.insert("role".to_owned(), json!(role));
            (service, "approve")
        }
        Verb::Group(verb) => {
            return group::run(verb, &client, body, target.output).await;
        }
        Verb::Explain { service } => {
            return explain::run(&client, &service, target.output).await;
        }
        Verb::Pause { service } => (service, "pause"),
        Verb::Resume { service } => (service, "resume"),
        Verb::Abort { service, confirmation } => {
            confirmation.ask(&format!(
                "The release of `{service}` is aborted: all traffic returns to the stable version"
            ))?;
            (service, "abort")
        }
        Verb::Rollback { service, release, confirmation } => {
            let what = release.clone().map_or_else(
                || format!("The newest release of `{service}`"),
                |id| format!("Release `{id}`"),
            );
            confirmation.ask(&format!(
                "{what} is rolled back: all traffic returns to the version before it"
            ))?;
            body.extend(release.map(|id| ("release".to_owned(), json!(id))));
            let path = ["services", &service, "rollback"];
            let outcome = client.call(Method::POST, &path, &[], Some(&body.into())).await?;
            return print_outcome(&outcome, target.output);
        }
    };
    let release = newest(&client, &service).await?;
    submit(&client, &release, verb, body, target.output).await
}

/// The members of a promotion: it leaves a step, or goes to 100 %.
pub(super) fn promotion(body: &mut Map<String, Value>, all: bool, from_step: usize) {
    let (key, value) = if all { ("all", json!(true)) } else { ("from_step", json!(from_step)) };
    body.insert(key.to_owned(), value);
}

async fn submit(
    client: &Client,
    release: &ReleaseView,
    verb: &str,
    body: Map<String, Value>,
    format: Format,
) -> Result<(), Failure> {
    let path = ["releases", release.id.as_ref(), verb];
    print_outcome(&client.call(Method::POST, &path, &[], Some(&body.into())).await?, format)
}

async fn newest(client: &Client, service: &str) -> Result<ReleaseView, Failure> {
    let answer = client.get(&["services", service]).await?;
    let service: Service = client.read(&answer)?;
    service.release.ok_or_else(|| {
        let name = &service.name;
        Failure::Input(format!(
            "service `{name}` has no release; start one with \
             `tidegate release start {name} VERSION`"
        ))
    })
}

/// Prints the outcome of a command; as a name, that of its release.
pub(super) fn print_outcome(outcome: &Value, format: Format) -> Result<(), Failure> {
    let text = |member: &str| outcome.get(member).and_then(Value::as_str).map(str::to_owned);
    let release = text("release").filter(|_| format == Format::Name);
    let shown = release.or_else(|| text("message"));
    output::document(format, outcome, || Ok(shown.unwrap_or_else(|| outcome.to_string())))
}
