//! `GET /releases/{id}/explain`: the state of a release and its blockers as text. A pure function of the view, the
//! sidecars and the newest records of the journal, so the same input gives the same text.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::views::{BlockerView, PhaseKind, is_synced};
use crate::controller::DeliveryView;
use crate::journal::Record;
use crate::xds::fleet::NodeStatus;
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::statistics::Units;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ReleaseId;
use tidegate_delivery::text;
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
    let mut text = vec![summary(release), rule(service, release)];
    text.extend(group(view, release));
    text.extend(flags(service, release));
    text.extend(progress.map(|progress| evidence(release, progress)));
    if release.is_running() {
        text.push(guardrails(&service.spec.guardrails));
        text.extend(blocked_by(release, &blockers));
    }
    text.extend(
        view.halted.as_ref().map(|why| format!("The control plane takes no decisions now: {why}.")),
    );
    text.push(configuration(view, &sidecars));
    text.extend(events.iter().map(line));
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

fn summary(release: &Release) -> String {
    let Release { id, service, candidate, stable, started_at, .. } = release;
    let by = format!(" by {}", release.started_by);
    let steps = release.plan.steps.len();
    let at = match &release.phase {
        Phase::Preparing { since, .. } => format!("is being prepared, at 0%, since {since}"),
        Phase::Stepping { step, since } => {
            let (step, weight) = (step.saturating_add(1), release.weight());
            format!("is on step {step} of {steps}, at {weight}, since {since}")
        }
        Phase::Watching { since } => format!("is at 100% and watched since {since}"),
        Phase::Completed { at } => format!("is complete since {at}"),
        Phase::RolledBack { at, cause } => format!("was rolled back at {at}: {cause}"),
    };
    format!(
        "Release {id} of {service} from {stable} to {candidate}, started at {started_at}{by}, {at}."
    )
}

/// The rule that decides what comes next.
fn rule(service: &ServiceState, release: &Release) -> String {
    let Release { candidate, stable, plan, .. } = release;
    let share = plan.convergence.share;
    match &release.phase {
        Phase::Preparing { .. } => format!(
            "It enters its first step when {share} of the sidecars have {candidate}, its {} smoke tests have passed, \
             its {} required checks have passed and its approvals are given.",
            plan.smoke_tests.len(),
            plan.requirements.checks.len()
        ),
        Phase::Stepping { step, .. } => {
            let step = plan.steps.get(*step);
            let time = shown(step.map_or(Duration::ZERO, |step| step.time));
            let requests = step.map_or(0, |step| step.min_requests);
            format!(
                "It stays for at least {time} from when {share} of the sidecars have it, until {candidate} has \
                 served {requests} requests in it, no guardrail alerts and nothing else blocks it."
            )
        }
        Phase::Watching { .. } => format!(
            "After {} without a broken guardrail, {candidate} becomes the stable version; until then a broken guardrail rolls it back.",
            shown(plan.watch)
        ),
        Phase::Completed { .. } => match (&service.previous, service.previous_until) {
            (Some(previous), Some(until)) => {
                format!(
                    "{candidate} is stable. {previous} is kept until {until}: a rollback is one push."
                )
            }
            _ => format!("{candidate} is stable. The previous version is no longer kept."),
        },
        Phase::RolledBack { .. } => format!("All traffic went to {stable} from then on."),
    }
}

fn group(view: &DeliveryView, release: &Release) -> Option<String> {
    let (name, group) = view.state.group_of(&release.id)?;
    let others = group.members.iter().filter(|id| **id != release.id);
    let others: Vec<_> = others.map(ToString::to_string).collect();
    let others = others.join(", ");
    Some(format!(
        "It is released in group {name} with {others}: its steps and its rollback are atomic."
    ))
}

/// Why no flag selects the candidate.
fn flags(service: &ServiceState, release: &Release) -> Option<String> {
    let block = service.flag_block(&release.candidate)?;
    let text = text::flag_block(&release.service, &release.candidate, &block);
    let mut chars = text.chars();
    let first = chars.next()?.to_uppercase();
    Some(format!("{first}{}.", chars.as_str()))
}

fn evidence(release: &Release, progress: &Progress) -> String {
    let failures = |name, counted: &Evidence| {
        let Units { bad, all } = counted.failures();
        format!("{name} failed {bad} of {all} requests")
    };
    let seen = &progress.observation;
    format!(
        "Since then {}, {}; verdict: {}.",
        failures(&release.candidate, &seen.candidate),
        failures(&release.stable, &seen.stable),
        seen.verdict
    )
}

fn guardrails(limits: &Guardrails) -> String {
    let Guardrails { error_rate, latency, false_rollback, .. } = limits;
    format!(
        "An error rate above {} alerts and above {} breaks the guardrail, as one above that of stable does; so does the {} \
         quantile of the latency above {} or {}, and {}. The probability that a release that is no worse is rolled back is \
         at most {false_rollback}.",
        error_rate.alert,
        error_rate.rollback,
        latency.quantile,
        shown(latency.warning),
        shown(latency.critical),
        shown(latency.rollback),
    )
}

fn blocked_by(release: &Release, blockers: &[BlockerView]) -> Vec<String> {
    if blockers.is_empty() {
        return vec!["It waits for nothing, and advances with the next evaluation.".to_owned()];
    }
    let paused = if release.paused_by_guardrail.is_some() { ", paused at its weight" } else { "" };
    let head = format!("It waits{paused} for:");
    let each = blockers.iter().map(|it| format!("- {}", it.detail));
    std::iter::once(head).chain(each).collect()
}

fn configuration(view: &DeliveryView, sidecars: &Sidecars) -> String {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    format!(
        "Configuration {1} (journal record {2}) on {0} connected sidecars: ACK {3}; pending {4}; NACK {5}.",
        sidecars.connected,
        view.serial,
        view.seq,
        list(&sidecars.synced),
        list(&sidecars.pending),
        list(&sidecars.nacked),
    )
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
        | Event::VersionQuarantined { service, version, .. }
        | Event::QuarantineLifted { service, version, .. }
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

fn line(it: &ReleaseEvent) -> String {
    let ReleaseEvent { seq, at, event, actor, reason } = it;
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let event = event.replace('_', " ");
    format!("#{seq} {at} {event}, by {actor}{reason}")
}

fn shown(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
