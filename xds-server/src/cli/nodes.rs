//! `tidegate nodes`.

use std::collections::BTreeMap;

use tidegate::api::views::{Node, Refused};

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
        [
            node.id,
            node.fleet.to_string(),
            if node.connected { "yes" } else { "no" }.to_owned(),
            node.mode,
            if node.synced { "yes" } else { "no" }.to_owned(),
            refused(&node.refused),
        ]
    };
    output::print(&output::table(
        ["NODE", "FLEET", "CONNECTED", "XDS", "SYNCED", "REFUSED"],
        nodes.into_iter().map(row).collect(),
        "no sidecar has connected; make a bootstrap for one with `tidegate envoy bootstrap`",
    ))
}

/// What it refused, one after the other.
fn refused(refused: &BTreeMap<String, Refused>) -> String {
    if refused.is_empty() {
        return NONE.to_owned();
    }
    let told = refused.iter().map(|(kind, why)| format!("{kind}: {}", why.message));
    told.collect::<Vec<_>>().join("; ")
}
