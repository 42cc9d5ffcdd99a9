//! `tidegate line`: everybody may stop it.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;
use tidegate::api::line::Line;

use super::client::{Client, Origin, Target};
use super::failure::Failure;
use super::output::{self, Format};
use super::release::done;

/// Stop every release from going forward, or let them go; rollbacks are never held.
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
    /// No release goes forward until somebody lets it
    Stop {
        /// Only those of this service
        service: Option<String>,
    },
    /// They go forward again
    Go {
        /// Only those of this service
        service: Option<String>,
    },
    /// What holds releases now
    Status,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let format = args.target.output;
    let (method, service) = match args.verb {
        Verb::Stop { service } => (Method::PUT, service),
        Verb::Go { service } => (Method::DELETE, service),
        Verb::Status => return status(&client, format).await,
    };
    let mut body = args.origin.body();
    body.extend(service.map(|service| ("service".to_owned(), json!(service))));
    done(&client.ask(method, &["line"], &[], Some(&body.into())).await?, format)
}

async fn status(client: &Client, format: Format) -> Result<(), Failure> {
    let answer = client.get(&["line"]).await?;
    if format == Format::Json {
        return output::json(&answer);
    }
    let line: Line = client.read(&answer)?;
    let rows = line.closed.iter().map(|(name, held)| [name.to_string(), held.join("; ")]);
    output::print(&output::table(["SERVICE", "WAITS FOR"], rows.collect(), "the line goes"))
}
