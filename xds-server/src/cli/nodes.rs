//! `tidegate nodes`.

use std::time::{Duration, UNIX_EPOCH};

use tidegate::api::views::{LastRefusal, Node, Refused};

use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format};
use super::words::NONE;

/// Show the sidecars.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let client = Client::new(&args.target)?;
    let answer = client.get(&["nodes"]).await?;
    if args.target.output == Format::Json {
        return output::json(&answer);
    }
    let nodes: Vec<Node> = client.read(&answer)?;
    let row = |node: Node| {
        let synced = synced(&node);
        [
            node.id,
            node.fleet.to_string(),
            if node.connected { "yes" } else { "no" }.to_owned(),
            node.mode,
            synced,
            node.last_refusal.as_ref().map_or_else(|| NONE.to_owned(), refusal),
        ]
    };
    output::print(&output::table(
        ["NODE", "FLEET", "CONNECTED", "XDS", "SYNCED", "LAST REFUSAL"],
        nodes.into_iter().map(row).collect(),
        "no sidecar has connected; make a bootstrap for one with `tidegate envoy bootstrap`",
    ))
}

/// Whether it has all: `yes`, `refuses route`, `3 behind`.
fn synced(node: &Node) -> String {
    if !node.refused.is_empty() {
        let kinds: Vec<_> = node.refused.keys().map(String::as_str).collect();
        return format!("refuses {}", kinds.join(", "));
    }
    if node.synced { "yes".to_owned() } else { format!("{} behind", node.behind) }
}

/// What it refused last, when, and why: the message is the sidecar's own, and may hold anything.
fn refusal(last: &LastRefusal) -> String {
    let Refused { version, message, at } = &last.refused;
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(at.0));
    let at =
        at.map_or_else(String::new, |at| format!(" at {}", humantime::format_rfc3339_seconds(at)));
    let message = message.split(char::is_control).collect::<Vec<_>>().join(" ");
    format!("{} {version}{at}: {message}", last.r#type)
}
