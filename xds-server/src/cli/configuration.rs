//! `tidegate validate`, `apply` and `schema`: the configuration file.

use std::path::{Path, PathBuf};

use tidegate::config::{self, Config};
use tidegate::files::{MAX_BYTES, read_text};
use tidegate::istio::applied;
use tidegate::istio::tokens::{KeyError, KeyStore};
use tidegate_delivery::model::change::Loss;

use super::client::{Client, Origin, Target};
use super::failure::Failure;
use super::release::print_outcome;
use super::{EXIT_CODES, diff, output};

/// The media type of a configuration.
pub(super) const MEDIA_TYPE: &str = "application/yaml";

/// Check a configuration file and print every error with file, line, column and a suggested fix.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    /// The configuration
    #[arg(env = "TIDEGATE_CONFIG")]
    file: PathBuf,
    /// Check the YAML files below this directory too: the objects applied to an Istio mesh
    #[arg(long, value_name = "DIR")]
    istio: Option<PathBuf>,
}

pub(super) fn validate(args: &ValidateArgs) -> Result<(), Failure> {
    let config = config::load(&args.file)?;
    if let Some(dir) = &args.istio {
        validate_istio(&config, dir)?;
    }
    let listeners: usize = config.mesh.fleets.iter().map(|fleet| fleet.listeners().len()).sum();
    output::print(&format!(
        "{} is valid: {}, {}, {}",
        args.file.display(),
        counted(config.services.len(), "service"),
        counted(config.mesh.fleets.len(), "fleet"),
        counted(listeners, "listener"),
    ))
}

fn validate_istio(config: &Config, dir: &Path) -> Result<(), Failure> {
    if !config.mesh.has_istio() {
        let what = "--istio has no effect: no fleet of the configuration is one of an Istio mesh";
        return Err(Failure::Input(what.to_owned()));
    }
    let input = |error: &dyn std::fmt::Display| Failure::Input(error.to_string());
    let keys = match KeyStore::existing(&config.data_dir) {
        Ok(store) => Some(store.read().map_err(|error| input(&error))?),
        Err(error @ KeyError::NoKeys(_)) => {
            output::print(&format!("tokens are not compared: {error}"))?;
            None
        }
        Err(error) => return Err(input(&error)),
    };
    let applied = applied::check(dir, config, keys.as_ref()).map_err(|error| input(&error))?;
    if applied.problems.is_empty() {
        let objects = counted(applied.objects, "object");
        return output::print(&format!("{objects} in {}: no problems", dir.display()));
    }
    Err(Failure::Applied { dir: dir.to_owned(), problems: applied.problems })
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
#[command(after_help = EXIT_CODES)]
pub(super) struct ApplyArgs {
    /// The configuration; paths in it are relative to the server's own file
    #[arg(short, long)]
    file: PathBuf,
    /// Print the changes without applying them, as `tidegate diff` does
    #[arg(long)]
    dry_run: bool,
    /// Allow the configuration to take this away, although it serves traffic: fleet:FLEET, listener:FLEET/LISTENER,
    /// route:FLEET/LISTENER/SERVICE, service:SERVICE, host:HOST, version:SERVICE/VERSION, endpoints:SERVICE/VERSION
    #[arg(long, value_name = "KIND:NAME")]
    allow: Vec<Loss>,
    #[command(flatten)]
    origin: Origin,
}

pub(super) async fn apply(args: ApplyArgs, target: &Target) -> Result<(), Failure> {
    if args.dry_run {
        return diff::print(&args.file, &args.allow, target, &args.origin).await;
    }
    let text = read_text(&args.file, MAX_BYTES)?;
    let client = Client::new(target)?;
    let query = query(&args.allow, &args.origin);
    let outcome = client.put_text(&["config"], &query, MEDIA_TYPE, text).await?;
    print_outcome(&outcome, target.output)
}

/// The query of a configuration that may take away `allow`.
pub(super) fn query(allow: &[Loss], origin: &Origin) -> Vec<(&'static str, String)> {
    let mut query = origin.query();
    query.extend(allow.iter().map(|loss| ("allow", loss.to_string())));
    query
}

/// Prints the JSON Schema of the configuration file.
pub(super) fn schema() -> Result<(), Failure> {
    output::json(&config::schema())
}
