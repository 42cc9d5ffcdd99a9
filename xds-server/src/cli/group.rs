//! `tidegate release group`: releases of several services that go together.

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tidegate::api::groups::GroupView;
use tidegate::api::views::ReleaseView;

use super::client::Client;
use super::failure::Failure;
use super::flag::read_json;
use super::output::{self, Format};
use super::release::done;
use super::words;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Begin to move several services, all or none
    Start {
        /// How they are called together
        group: String,
        /// A service and the version that is to take over; name at least two
        #[arg(long = "member", value_name = "SERVICE=VERSION", required = true, value_parser = member)]
        members: Vec<(String, String)>,
        /// A file with one plan for all instead of the services' own: JSON, as `strategy` in the configuration
        #[arg(long)]
        plan: Option<PathBuf>,
    },
    /// Show its releases and what they wait for
    Status {
        /// The group
        group: String,
    },
    /// Enter the next step now; while it is watched at 100 %: complete now
    Promote {
        /// The group
        group: String,
        /// Go to 100 % at once
        #[arg(long)]
        all: bool,
    },
    /// Hold all where they are; a guardrail still rolls them back
    Pause {
        /// The group
        group: String,
    },
    /// Let them go on
    Resume {
        /// The group
        group: String,
    },
    /// Approve the next step of the members that require it, in a role
    Approve {
        /// The group
        group: String,
        /// As what
        #[arg(long)]
        role: String,
    },
    /// Give it up before it is at 100 %: everything goes to stable
    Abort {
        /// The group
        group: String,
    },
    /// Everything goes to stable; after a complete group to the versions before it
    Rollback {
        /// The group
        group: String,
    },
}

pub(super) async fn run(
    verb: Verb,
    client: &Client,
    mut body: Map<String, Value>,
    format: Format,
) -> Result<(), Failure> {
    let (group, verb) = match verb {
        Verb::Start { group, members, plan } => {
            let member = |(service, version)| json!({"service": service, "version": version});
            let members: Vec<_> = members.into_iter().map(member).collect();
            body.insert("name".to_owned(), json!(group));
            body.insert("members".to_owned(), json!(members));
            if let Some(path) = plan {
                body.insert("plan".to_owned(), read_json(&path)?);
            }
            let answer = client.ask(Method::POST, &["groups"], &[], Some(&body.into())).await?;
            return done(&answer, format);
        }
        Verb::Status { group } => return status(client, &group, format).await,
        Verb::Promote { group, all } => {
            body.insert("all".to_owned(), json!(all));
            (group, "promote")
        }
        Verb::Approve { group, role } => {
            body.insert("role".to_owned(), json!(role));
            (group, "approve")
        }
        Verb::Pause { group } => (group, "pause"),
        Verb::Resume { group } => (group, "resume"),
        Verb::Abort { group } => (group, "abort"),
        Verb::Rollback { group } => (group, "rollback"),
    };
    let path = ["groups", &group, verb];
    done(&client.ask(Method::POST, &path, &[], Some(&body.into())).await?, format)
}

async fn status(client: &Client, group: &str, format: Format) -> Result<(), Failure> {
    let answer = client.get(&["groups", group]).await?;
    if format == Format::Json {
        return output::json(&answer);
    }
    let group: GroupView = client.read(&answer)?;
    let heads = ["RELEASE", "CANDIDATE", "PHASE", "WEIGHT", "WAITING FOR"];
    let rows = group.members.iter().map(row).collect();
    output::print(&output::table(heads, rows, "it has no members"))
}

fn row(release: &ReleaseView) -> [String; 5] {
    [
        release.id.to_string(),
        release.candidate.to_string(),
        words::phase(release),
        words::share(release.weight),
        words::waiting_for(release),
    ]
}

fn member(text: &str) -> Result<(String, String), String> {
    let parts = text
        .split_once('=')
        .filter(|(service, version)| !service.is_empty() && !version.is_empty());
    let (service, version) = parts.ok_or("write it as SERVICE=VERSION, such as order=v2")?;
    Ok((service.to_owned(), version.to_owned()))
}
