//! `tidegate nodes`: the list of sidecars, or the details of one.

use reqwest::Method;
use tidegate::api::views::{LastNack, Nack, Node, NodeDetail, Reporting, ResourceState, TypeState};
use tidegate_xds::protocol::SyncState;

use super::client::{Client, Target};
use super::failure::Failure;
use super::output::{self, Format, List, printable};
use super::text::{NONE, time};

/// Show sidecars and the state of their configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node id of one sidecar: shows the resources sent to it
    node: Option<String>,
    /// The fleet, if several fleets have a sidecar with this node id
    #[arg(long, requires = "node")]
    fleet: Option<String>,
}

pub(super) async fn run(args: Args, target: &Target) -> Result<(), Failure> {
    let client = Client::new(target)?;
    if let Some(node) = &args.node {
        return show(&client, node, args.fleet, target.output).await;
    }
    let answer = client.get(&["nodes"]).await?;
    output::list(target.output, &answer, || {
        let nodes: Vec<Node> = client.read(&answer)?;
        let row = |node: Node| {
            let (synced, report) = (synced(&node), report(&node));
            let cells = [
                node.id.clone(),
                node.fleet.to_string(),
                if node.connected { "yes" } else { "no" }.to_owned(),
                synced,
                report,
                node.last_nack.as_ref().map_or_else(|| NONE.to_owned(), nack),
                node.mode,
                node.filter_version.unwrap_or_else(|| NONE.to_owned()),
            ];
            (node.id, cells)
        };
        let heads =
            ["NODE", "FLEET", "CONNECTED", "SYNCED", "LAST REPORT", "LAST NACK", "XDS", "FILTER"];
        Ok(List {
            heads,
            narrow: 6,
            rows: nodes.into_iter().map(row).collect(),
            none: "no sidecar has connected; `tidegate envoy run` starts one",
        })
    })
}

async fn show(
    client: &Client,
    node: &str,
    fleet: Option<String>,
    format: Format,
) -> Result<(), Failure> {
    let query: Vec<_> = fleet.map(|fleet| ("fleet", fleet)).into_iter().collect();
    let answer = client.call(Method::GET, &["nodes", node], &query, None).await?;
    let detail: NodeDetail = client.read(&answer)?;
    if matches!(format, Format::Table | Format::Wide) {
        output::print(&summary(&detail))?;
    }
    let none = if detail.node.connected {
        "no resources were sent"
    } else {
        "disconnected: its resources are no longer tracked"
    };
    let rows = detail.types.into_iter().flat_map(rows);
    output::list(format, &answer, || {
        Ok(List {
            heads: ["TYPE", "NAME", "STATE", "SENT", "ACKED", "PUSHED", "ANSWERED"],
            narrow: 7,
            rows: rows.map(|cells| (format!("{}/{}", cells[0], cells[1]), cells)).collect(),
            none,
        })
    })
}

/// The state of the sidecar, one line per fact.
fn summary(detail: &NodeDetail) -> String {
    let node = &detail.node;
    let connected = if node.connected { "connected" } else { "disconnected" };
    let mut lines = vec![
        format!(
            "{} of fleet {}: {connected} since {}",
            printable(&node.id),
            node.fleet,
            time(node.since)
        ),
        format!("xDS: {}; synced: {}", node.mode, synced(node)),
        format!(
            "filter: {}; last report: {}",
            node.filter_version.as_deref().unwrap_or("unknown version"),
            report(node)
        ),
    ];
    lines.extend(node.reporting.as_ref().map(reporting));
    if !node.off_weight.is_empty() {
        let services: Vec<_> = node.off_weight.iter().map(ToString::to_string).collect();
        lines.push(format!("far from the weight of the release of {}", services.join(", ")));
    }
    lines.extend(node.last_nack.as_ref().map(|last| format!("last NACK: {}", nack(last))));
    if detail.silent_streams > 0 {
        let silent = detail.silent_streams;
        lines.push(format!("{silent} of its streams did not answer the inquiry: the sidecar does not read from them"));
    }
    lines.join("\n") + "\n"
}

/// The reports of a sidecar of an Istio mesh.
fn reporting(reporting: &Reporting) -> String {
    let Reporting { instances, silent } = reporting;
    let silent = match silent {
        0 => String::new(),
        silent => format!(
            "; {silent} have stopped reporting, so their VMs may have failed: restart the pod"
        ),
    };
    format!("reports: from {instances} instances of the filter{silent}")
}

/// A row for each resource of a type.
fn rows(of: TypeState) -> Vec<[String; 7]> {
    let TypeState { r#type, pushed, resources } = of;
    let none = || NONE.to_owned();
    let at = pushed.as_ref().map_or_else(none, |pushed| time(pushed.at));
    let answered = pushed.as_ref().and_then(|pushed| pushed.answered);
    let answered = answered.map_or_else(none, time);
    let row = |ResourceState { name, state, sent, acked }| {
        let (sent, acked) = (sent.unwrap_or_else(none), acked.unwrap_or_else(none));
        let name = printable(&name);
        [
            r#type.clone(),
            name,
            state_text(state).to_owned(),
            sent,
            acked,
            at.clone(),
            answered.clone(),
        ]
    };
    resources.into_iter().map(row).collect()
}

const fn state_text(state: SyncState) -> &'static str {
    match state {
        SyncState::DoesNotExist => "no such resource",
        SyncState::NotSent => "not sent",
        SyncState::Sent => "unacknowledged",
        SyncState::Acked => "acked",
        SyncState::Stale => "stale",
        SyncState::Nacked => "nacked",
    }
}

/// `yes`, `NACK (route)`, `3 snapshots behind`.
fn synced(node: &Node) -> String {
    if !node.nacks.is_empty() {
        let kinds: Vec<_> = node.nacks.keys().map(String::as_str).collect();
        return format!("NACK ({})", kinds.join(", "));
    }
    if node.synced {
        "yes".to_owned()
    } else {
        format!("{} snapshots behind", node.snapshots_behind)
    }
}

/// The time of the last report, and whether reports are missing.
fn report(node: &Node) -> String {
    let at = node.last_report.map_or_else(|| "never".to_owned(), time);
    if node.silent { format!("{at} (missing: not judged)") } else { at }
}

/// Type, version, time and message of a NACK. The message comes from the sidecar and may contain any text.
fn nack(last: &LastNack) -> String {
    let Nack { version, message, at } = &last.nack;
    format!("{} {version} at {}: {}", last.r#type, time(*at), printable(message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_of_a_sidecar_are_lines_and_rows() {
        let time = |ms| time(tidegate_delivery::units::Timestamp(ms));
        let detail = json!({
            "id": "envoy\u{1b}1", "fleet": "demo", "connected": true, "since": time(0), "mode": "delta",
            "synced": false, "filter_version": "0.1.0", "last_report": null, "silent": true, "acked": {}, "snapshots_behind": 2, "silent_streams": 1,
            "nacks": {"route": {"version": "abc", "message": "no\nway", "at": time(1500)}},
            "last_nack": {"type": "route", "version": "abc", "message": "no\nway", "at": time(1500)},
            "types": [{
                "type": "route",
                "pushed": {"version": "abc", "at": time(1000), "answered": time(1500)},
                "resources": [{"name": "a", "state": "nacked", "sent": "abc", "acked": null}],
            }, {"type": "cluster", "pushed": null, "resources": [
                {"name": "b", "state": "not_sent", "sent": null, "acked": null},
            ]}],
        });
        let detail: NodeDetail = serde_json::from_value(detail).unwrap();
        let shown = summary(&detail);
        for words in [
            "envoy 1 of fleet demo: connected since 1970-01-01T00:00:00.000Z",
            "xDS: delta; synced: NACK (route)",
            "filter: 0.1.0; last report: never (missing: not judged)",
            "last NACK: route abc at 1970-01-01T00:00:01.500Z: no way",
            "1 of its streams did not answer",
        ] {
            assert!(shown.contains(words), "no {words:?} in {shown}");
        }
        let rows: Vec<_> = detail.types.into_iter().flat_map(rows).collect();
        let (sent, answered) = ("1970-01-01T00:00:01.000Z", "1970-01-01T00:00:01.500Z");
        assert_eq!(rows[0], ["route", "a", "nacked", "abc", "-", sent, answered]);
        assert_eq!(rows[1], ["cluster", "b", "not sent", "-", "-", "-", "-"]);
    }
}
