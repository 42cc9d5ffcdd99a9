//! `tidegate validate`, `apply` and `schema`: the configuration file.

use std::path::PathBuf;

use tidegate::config;
use tidegate_delivery::model::configuration::ServiceVersion;

use super::client::{Client, Origin, Target};
use super::failure::Failure;
use super::output;
use super::release::print_outcome;

/// Check a configuration file and print every error with file, line, column and a suggested fix.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    /// The configuration
    #[arg(env = "TIDEGATE_CONFIG")]
    file: PathBuf,
}

pub(super) fn validate(args: &ValidateArgs) -> Result<(), Failure> {
    let config = config::load(&args.file)?;
    let listeners: usize = config.mesh.fleets.iter().map(|fleet| fleet.listeners().len()).sum();
    output::print(&format!(
        "{} is valid: {}, {}, {}",
        args.file.display(),
        counted(config.services.len(), "service"),
        counted(config.mesh.fleets.len(), "fleet"),
        counted(listeners, "listener"),
    ))
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// Apply a configuration to a running server. It is in effect until the server's own file changes, or the
/// server restarts
#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    /// The configuration; paths in it are relative to the server's own file
    #[arg(short, long)]
    file: PathBuf,
    /// Print the changes without applying them
    #[arg(long)]
    dry_run: bool,
    /// Allow the configuration to drop this version, although it is stable or kept for a rollback
    #[arg(long, value_name = "SERVICE/VERSION")]
    allow: Vec<ServiceVersion>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    origin: Origin,
}

pub(super) async fn apply(args: ApplyArgs) -> Result<(), Failure> {
    let text = config::read_text(&args.file, config::MAX_BYTES)?;
    let client = Client::new(&args.target)?;
    let mut query = args.origin.query();
    query.push(("dry_run", args.dry_run.to_string()));
    query.extend(args.allow.iter().map(|version| ("allow", version.to_string())));
    let outcome = client.put_text(&["config"], &query, "application/yaml", text).await?;
    print_outcome(&outcome, args.target.output)
}

/// Prints the JSON Schema of the configuration file.
pub(super) fn schema() -> Result<(), Failure> {
    output::json(&config::schema())
}
