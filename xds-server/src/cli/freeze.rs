//! `tidegate freeze`: deployment freezes by hand.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;
use tidegate::api::freeze::Freezes;

use super::client::{Client, Origin, Target};
use super::failure::Failure;
use super::output::{self, Format, List};
use super::release::print_outcome;

/// Freeze deployments: no release advances until the freeze ends. Rollbacks are not blocked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    origin: Origin,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Freeze deployments
    Start {
        /// Only this service
        service: Option<String>,
    },
    /// End a freeze that was started by hand
    End {
        /// Only this service
        service: Option<String>,
    },
    /// Show the freezes in force, by hand and by window
    Status,
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    let client = Client::new(target)?;
    let format = target.output;
    let (method, service) = match args.verb {
        Verb::Start { service } => (Method::PUT, service),
        Verb::End { service } => (Method::DELETE, service),
        Verb::Status => return status(&client, format).await,
    };
    let mut body = args.origin.body();
    body.extend(service.map(|service| ("service".to_owned(), json!(service))));
    print_outcome(&client.call(method, &["freeze"], &[], Some(&body.into())).await?, format)
}

async fn status(client: &Client, format: Format) -> Result<(), Failure> {
    let answer = client.get(&["freeze"]).await?;
    output::list(format, &answer, || {
        let freezes: Freezes = client.read(&answer)?;
        let rows = freezes.active.iter().map(|(name, active)| {
            let each: Vec<_> = active.iter().map(|it| it.detail.as_str()).collect();
            (name.to_string(), [name.to_string(), each.join("; ")])
        });
        Ok(List {
            heads: ["SERVICE", "FROZEN BY"],
            narrow: 2,
            rows: rows.collect(),
            none: "no deployments are frozen",
        })
    })
}
