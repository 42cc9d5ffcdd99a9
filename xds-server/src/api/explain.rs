//! `GET /releases/{id}/explain`: the state of a release and its blockers as text. A pure function of the view, the
//! sidecars and the newest records of the journal, so the same input gives the same text.

mod advice;
mod text;

use serde::{Deserialize, Serialize};

use super::views::{BlockerView, PhaseKind, is_synced};
use crate::controller::DeliveryView;
use crate::journal::Record;
use crate::xds::fleet::NodeStatus;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ReleaseId;
use tidegate_delivery::units::{Timestamp, rfc3339};

/// Newest records of the journal that are searched for events of the release.
pub(super) const MAX_SEARCHED: u64 = 1000;
/// Events in an explanation, at most; the newest are kept.
const MAX_EVENTS: usize = 20;
/// Sidecars listed by name per state, at most.
const MAX_NAMED: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub release: ReleaseId,
    pub phase: PhaseKind,
    /// The explanation as text, one line each.
    pub text: Vec<String>,
    /// What blocks its next transition; empty if nothing does.
    pub blockers: Vec<BlockerView>,
    /// The newest record of the journal that the explanation includes.
    pub seq: u64,
    /// The newest configuration that was published.
    pub serial: u64,
    /// Sidecars by their state for that configuration.
    pub sidecars: Sidecars,
    /// Its latest events, oldest first.
    pub events: Vec<ReleaseEvent>,
}

/// Connected sidecars by their state for the newest configuration, up to twenty names each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sidecars {
    /// The number of connected sidecars.
    pub connected: usize,
    /// Those that ACKed it.
    pub synced: Vec<String>,
    /// Those that sent neither an ACK nor a NACK.
    pub pending: Vec<String>,
    /// Those with a NACK of at least one type.
    pub nacked: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseEvent {
    /// The number of its record in the journal.
    pub seq: u64,
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// The kind of event.
    pub event: String,
    pub actor: String,
    /// The reason, if one was given.
    pub reason: Option<String>,
}

/// Explains the newest release of a service.
pub(super) fn explain(
    view: &DeliveryView,
    service: &ServiceState,
    release: &Release,
    nodes: &[NodeStatus],
    records: &[Record],
) -> Explanation {
    let progress = view.progress.get(&release.id);
    let blockers = progress.map(|it| BlockerView::all(&it.blockers)).unwrap_or_default();
    let sidecars = sidecars(nodes, view.serial);
    let events = events(records, release);
    let text = text::lines(&text::Context {
        view,
        service,
        release,
        blockers: &blockers,
        sidecars: &sidecars,
        events: &events,
    });
    Explanation {
        release: release.id.clone(),
        phase: release.phase.name(),
        text,
        blockers,
        seq: view.seq,
        serial: view.serial,
        sidecars,
        events,
    }
}

fn sidecars(nodes: &[NodeStatus], serial: u64) -> Sidecars {
    let mut sidecars = Sidecars::default();
    let mut connected: Vec<_> = nodes.iter().filter(|node| node.connected).collect();
    connected.sort_by(|a, b| a.node.cmp(&b.node));
    sidecars.connected = connected.len();
    for node in connected {
        let names = if !node.nacks.is_empty() {
            &mut sidecars.nacked
        } else if is_synced(node, serial) {
            &mut sidecars.synced
        } else {
            &mut sidecars.pending
        };
        if names.len() < MAX_NAMED {
            names.push(node.node.clone());
        }
    }
    sidecars
}

fn events(records: &[Record], release: &Release) -> Vec<ReleaseEvent> {
    let about = records.iter().rev().filter(|it| is_about(it.event.event(), release));
    let mut events: Vec<_> = about
        .take(MAX_EVENTS)
        .map(|record| ReleaseEvent {
            seq: record.seq,
            at: record.at,
            event: record.event.event().kind().to_owned(),
            actor: record.actor.clone(),
            reason: record.reason.clone(),
        })
        .collect();
    events.reverse();
    events
}

/// Events of the release itself, of its candidate, and of freezes of its service.
fn is_about(event: &Event, release: &Release) -> bool {
    match event {
        Event::CheckReported { service, version, .. }
        | Event::SignalRaised { service, version, .. }
        | Event::SignalCleared { service, version, .. }
        | Event::VersionAlertRaised { service, version, .. }
        | Event::VersionAlertCleared { service, version, .. }
        | Event::VersionQuarantined { service, version, .. }
        | Event::QuarantineLifted { service, version, .. }
        | Event::VersionRemoved { service, version }
        | Event::FlagsAllowed { service, version } => {
            *service == release.service && *version == release.candidate
        }
        Event::DeploymentsFrozen { service, .. } | Event::DeploymentsUnfrozen { service } => {
            service.as_ref().is_none_or(|service| *service == release.service)
        }
        Event::StableRestored { service, .. } | Event::RollbackWindowClosed { service, .. } => {
            *service == release.service
        }
        Event::FreezeWindowsApplied { .. } => true,
        Event::GroupStarted { members, .. } => members.contains(&release.id),
        _ => event.release() == Some(&release.id),
    }
}
