//! `tidegate diff`, and `tidegate apply --dry-run`: what a configuration would change.

use std::path::{Path, PathBuf};

use tidegate::api::views::{ChangeView, DryRunView, Place};
use tidegate::config::{Fault, Problem, Span};
use tidegate::files::{MAX_BYTES, read_text};
use tidegate_delivery::model::change::Loss;
use tidegate_delivery::text::quoted;

use super::EXIT_CODES;
use super::client::{Client, Origin, Target};
use super::configuration::{MEDIA_TYPE, query};
use super::failure::{self, Failure};
use super::output;

/// Show what a configuration would change on a running server, and what of it takes away something that serves traffic.
/// The server tries a TCP connection to each endpoint that would serve for the first time
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Args {
    /// The configuration; paths in it are relative to the server's own file
    #[arg(env = "TIDEGATE_CONFIG")]
    file: PathBuf,
    #[command(flatten)]
    origin: Origin,
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    print(&args.file, &[], target, &args.origin).await
}

/// Prints the changes of a file.
///
/// # Errors
/// Also if it takes away more than `allow`.
pub(super) async fn print(
    path: &Path,
    allow: &[Loss],
    target: &Target,
    origin: &Origin,
) -> Result<(), Failure> {
    let text = read_text(path, MAX_BYTES)?;
    let client = Client::new(target)?;
    let mut query = query(allow, origin);
    query.push(("dry_run", true.to_string()));
    let answer = client.put_text(&["config"], &query, MEDIA_TYPE, text.clone()).await?;
    let tried: DryRunView = client.read(&answer)?;
    output::document(target.output, &answer, || Ok(shown(path, &text, &tried)))?;
    if tried.refused.is_empty() {
        return Ok(());
    }
    let path = quoted(&path.display().to_string()).into_owned();
    let allowed = allow.iter().chain(&tried.refused).map(|loss| {
        let loss = loss.to_string();
        format!(" --allow {}", quoted(&loss))
    });
    Err(Failure::TakesAway(format!(
        "the configuration takes away something that serves traffic; to apply it: tidegate apply -f {path}{}",
        allowed.collect::<String>()
    )))
}

/// A line for each change, then each loss with the line of the file.
fn shown(path: &Path, text: &str, tried: &DryRunView) -> String {
    let (losses, other): (Vec<_>, Vec<_>) =
        tried.changes.iter().partition(|change| change.loss.is_some());
    let name = path.display();
    let line = |change: &ChangeView| match change.place {
        Some(Place { line, column, .. }) => format!("{name}:{line}:{column}: {}", change.message),
        None => format!("{name}: {}", change.message),
    };
    let mut lines: Vec<_> = other.iter().map(|it| line(it)).collect();
    lines.extend(losses.iter().map(|change| loss(path, text, change)));
    lines.extend(tried.unreachable.iter().map(|it| {
        format!(
            "warning: {} of `{}` would serve traffic, and accepts no connection from the server: {}",
            it.endpoint, it.version, it.message
        )
    }));
    if tried.not_tried > 0 {
        lines.push(format!("{} more endpoints were not tried", tried.not_tried));
    }
    lines.push(tried.message.clone());
    lines.join("\n")
}

/// A loss as `validate` shows an error.
fn loss(path: &Path, text: &str, change: &ChangeView) -> String {
    let lost = change.lost.iter().map(|lost| format!(": {lost}"));
    let message = format!("{}{}", change.message, lost.collect::<String>());
    let allow = change.loss.as_ref().map(ToString::to_string).unwrap_or_default();
    let fix = format!("keep it, or allow it by name: --allow {}", quoted(&allow));
    let Some(Place { line, column, length }) = change.place else {
        return format!("{}: {message}\n  {fix}", path.display());
    };
    let span = Span { line, column, offset: 0, length }.within(text);
    failure::quoted_problem(path, text, &Problem { span, fault: Fault { message, fix } })
}
