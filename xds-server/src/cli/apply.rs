//! `tidegate apply`.

use std::path::PathBuf;

use tidegate::config;

use super::client::{Client, Origin, Target};
use super::failure::Failure;
use super::release::done;

/// Send a running server a configuration. It holds until the server's own file changes, or the
/// server starts again
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; paths in it are relative to the server's own file
    #[arg(short, long)]
    file: PathBuf,
    /// Print the changes without applying them
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    origin: Origin,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let text = config::read_text(&args.file, config::MAX_BYTES)?;
    let client = Client::new(&args.target)?;
    let mut query = args.origin.query();
    query.push(("dry_run", args.dry_run.to_string()));
    done(&client.put_text(&["config"], &query, "application/yaml", text).await?, args.target.output)
}
