//! `tidegate nodes`.

use tidegate::api::views::Node;

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
            node.refused.unwrap_or_else(|| NONE.to_owned()),
        ]
    };
    output::print(&output::table(
        ["NODE", "FLEET", "CONNECTED", "XDS", "SYNCED", "REFUSED"],
        nodes.into_iter().map(row).collect(),
        "no sidecar has connected; make a bootstrap for one with `tidegate envoy bootstrap`",
    ))
}
