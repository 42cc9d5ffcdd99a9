//! `tidegate flag`: feature flags in flagd's format.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate::files::{MAX_BYTES, read_text};

use super::client::{Client, Origin, Target};
use super::confirm::Confirmation;
use super::failure::Failure;
use super::output::{self, Format, List};
use super::release::print_outcome;
use super::text::NONE;

/// Show and change feature flags.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    origin: Origin,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all flags
    List,
    /// Print the definition of a flag
    Get {
        /// The key of the flag
        key: String,
    },
    /// Print the revision of the flags, for `--if-match`: it grows with every change
    Revision,
    /// Define or change the flags of a file, all or none
    Set {
        /// flagd's format: {"flags": {…}}; `-` reads standard input
        #[arg(short, long)]
        file: PathBuf,
        /// Delete the flags that the file does not contain
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        condition: Condition,
    },
    /// Enable a flag
    Enable {
        /// The key of the flag
        key: String,
        #[command(flatten)]
        condition: Condition,
    },
    /// Disable a flag
    Disable {
        /// The key of the flag
        key: String,
        #[command(flatten)]
        condition: Condition,
    },
    /// Delete a flag
    Delete {
        /// The key of the flag
        key: String,
        #[command(flatten)]
        condition: Condition,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Evaluate a flag for a context
    Evaluate {
        /// The key of the flag
        key: String,
        /// The evaluation context as JSON: {"targetingKey": "u1", "country": "de"}
        #[arg(long, default_value = "{}")]
        context: String,
    },
}

/// The condition of a change.
#[derive(Debug, clap::Args)]
struct Condition {
    /// Only if the flags have this revision, else change nothing
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    let client = Client::new(target)?;
    let query = args.origin.query();
    let format = target.output;
    let change = async |method, path: &[&str], condition: &Condition, body: Option<&Value>| {
        let outcome = client.change(method, path, &query, condition.if_match, body).await?;
        print_outcome(&outcome, format)
    };
    match &args.verb {
        Verb::List => list(&client, format).await,
        Verb::Get { key } => {
            let flag = client.get(&["flags", key]).await?;
            // A definition is JSON for people as well.
            let text = || Ok(format!("{flag:#}"));
            output::document(format, &flag, text)
        }
        Verb::Revision => output::print(&client.revision(&["flags"]).await?),
        Verb::Set { file, replace, condition } => {
            let document = read_json(file)?;
            let method = if *replace { Method::PUT } else { Method::PATCH };
            change(method, &["flags"], condition, Some(&document)).await
        }
        Verb::Enable { key, condition } => {
            change(Method::POST, &["flags", key, "enable"], condition, None).await
        }
        Verb::Disable { key, condition } => {
            change(Method::POST, &["flags", key, "disable"], condition, None).await
        }
        Verb::Delete { key, condition, confirmation } => {
            confirmation.ask(&format!("Flag `{key}` and its definition are deleted"))?;
            change(Method::DELETE, &["flags", key], condition, None).await
        }
        Verb::Evaluate { key, context } => {
            let context: Value = serde_json::from_str(context).map_err(|error| {
                Failure::Input(format!(
                    "--context is not JSON: {error}; an example is {{\"targetingKey\": \"u1\"}}"
                ))
            })?;
            let body = json!({ "context": context });
            let path = ["flags", key, "evaluate"];
            let answer = client.call(Method::POST, &path, &[], Some(&body)).await?;
            print_evaluation(&answer, format)
        }
    }
}

async fn list(client: &Client, format: Format) -> Result<(), Failure> {
    let document = client.get(&["flags"]).await?;
    let text = |flag: &Value, path: &str| {
        let value = flag.pointer(path).and_then(Value::as_str);
        value.unwrap_or(NONE).to_owned()
    };
    let rows = document.get("flags").and_then(Value::as_object);
    let rows = rows.into_iter().flatten().map(|(key, flag)| {
        let variants = flag.get("variants").and_then(Value::as_object);
        let variants: Vec<&str> =
            variants.into_iter().flat_map(|it| it.keys()).map(String::as_str).collect();
        let cells = [
            key.clone(),
            // flagd's default.
            flag.get("state").and_then(Value::as_str).unwrap_or("ENABLED").to_owned(),
            variants.join(", "),
            text(flag, "/defaultVariant"),
            text(flag, "/metadata/service"),
        ];
        (key.clone(), cells)
    });
    output::list(format, &document, || {
        Ok(List {
            heads: ["FLAG", "STATE", "VARIANTS", "DEFAULT", "ROUTES"],
            narrow: 5,
            rows: rows.collect(),
            none: "no flags; define some with `tidegate flag set -f FILE`",
        })
    })
}

fn print_evaluation(answer: &Value, format: Format) -> Result<(), Failure> {
    let member = |name: &str| match answer.get(name) {
        None | Some(Value::Null) => NONE.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    output::list(format, answer, || {
        Ok(List {
            heads: ["FLAG", "VALUE", "VARIANT", "REASON", "BLOCKED"],
            narrow: 5,
            rows: vec![(
                member("key"),
                ["key", "value", "variant", "reason", "blocked"].map(member),
            )],
            none: "no result",
        })
    })
}

/// Reads a JSON file, or standard input for `-`.
pub(super) fn read_json(path: &Path) -> Result<Value, Failure> {
    let text = if path == Path::new("-") { stdin()? } else { read_text(path, MAX_BYTES)? };
    serde_json::from_str(&text)
        .map_err(|error| Failure::Input(format!("{} is not JSON: {error}", path.display())))
}

fn stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::Input(format!("cannot read standard input: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::Input(format!("standard input is larger than {MAX_BYTES} bytes")));
    }
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
