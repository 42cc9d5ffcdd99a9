//! `tidegate release group`: releases of several services with atomic steps and rollback.

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tidegate::api::groups::GroupView;

use super::client::Client;
use super::confirm::Confirmation;
use super::failure::Failure;
use super::flag::read_json;
use super::output::{self, Format};
use super::release::list::releases;
use super::release::{print_outcome, promotion};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Start releases of several services, all or none
    Start {
        /// The name of the group
        group: String,
        /// A service and its candidate version; at least two
        #[arg(long = "member", value_name = "SERVICE=VERSION", required = true, value_parser = member)]
        members: Vec<(String, String)>,
        /// A JSON file with a plan, in the form of `strategy` in the configuration; at least as strict as the plans of the services
        #[arg(long)]
        plan: Option<PathBuf>,
    },
    /// Show its releases and what blocks them
    Status {
        /// The group
        group: String,
    },
    /// Enter the next step now; while watching, complete the releases
    Promote {
        /// The group
        group: String,
        /// Go to 100 % at once
        #[arg(long, conflicts_with = "from_step")]
        all: bool,
        /// Only if the group is on this step (0 before the first), else change nothing. Default: the current step
        #[arg(long, value_name = "N")]
        from_step: Option<usize>,
    },
    /// Pause at the current weights; guardrails still roll the releases back
    Pause {
        /// The group
        group: String,
    },
    /// Resume paused releases
    Resume {
        /// The group
        group: String,
    },
    /// Approve the next step of the members that require it, in a role
    Approve {
        /// The group
        group: String,
        /// The role, as listed under `approvals`
        #[arg(long)]
        role: String,
    },
    /// Abort before 100 %: all traffic returns to the stable versions
    Abort {
        /// The group
        group: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Roll back to the stable versions; after completion, to the previous versions
    Rollback {
        /// The group
        group: String,
        #[command(flatten)]
        confirmation: Confirmation,
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
            let answer = client.call(Method::POST, &["groups"], &[], Some(&body.into())).await?;
            return print_outcome(&answer, format);
        }
        Verb::Status { group } => return status(client, &group, format).await,
        Verb::Promote { group, all, from_step } => {
            let from_step = match from_step {
                Some(step) => step,
                None => current_step(client, &group).await?,
            };
            promotion(&mut body, all, from_step);
            (group, "promote")
        }
        Verb::Approve { group, role } => {
            body.insert("role".to_owned(), json!(role));
            (group, "approve")
        }
        Verb::Pause { group } => (group, "pause"),
        Verb::Resume { group } => (group, "resume"),
        Verb::Abort { group, confirmation } => {
            confirmation.ask(&format!("All releases of group `{group}` are aborted"))?;
            (group, "abort")
        }
        Verb::Rollback { group, confirmation } => {
            confirmation.ask(&format!("All releases of group `{group}` are rolled back"))?;
            (group, "rollback")
        }
    };
    let path = ["groups", &group, verb];
    print_outcome(&client.call(Method::POST, &path, &[], Some(&body.into())).await?, format)
}

/// The step of the members, which enter each step together.
async fn current_step(client: &Client, group: &str) -> Result<usize, Failure> {
    let group: GroupView = client.read(&client.get(&["groups", group]).await?)?;
    Ok(group.members.iter().find_map(|release| release.step).unwrap_or(0))
}

async fn status(client: &Client, group: &str, format: Format) -> Result<(), Failure> {
    let answer = client.get(&["groups", group]).await?;
    output::list(format, &answer, || {
        let group: GroupView = client.read(&answer)?;
        Ok(releases(&group.members, "no members"))
    })
}

fn member(argument: &str) -> Result<(String, String), String> {
    let parts = argument
        .split_once('=')
        .filter(|(service, version)| !service.is_empty() && !version.is_empty());
    let (service, version) = parts.ok_or("write it as SERVICE=VERSION, such as order=v2")?;
    Ok((service.to_owned(), version.to_owned()))
}
