//! Why a release is where it is, in plain words. Made of the view, the sidecars and the journal's
//! last records alone, so that asked twice of the same it says the same.

use super::views::BlockerView;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::views::{PhaseKind, has_all};
use crate::controller::View;
use crate::journal::Record;
use crate::xds::fleet::NodeStatus;
use tidegate_delivery::judge::Evidence;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::progress::Progress;
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::ReleaseId;
use tidegate_delivery::units::Timestamp;

/// Records of the journal that are looked through for what happened to a release.
pub(super) const LOOKED_THROUGH: u64 = 1000;
/// Most of what happened that is told: the last.
const MAX_HAPPENED: usize = 20;
/// Most sidecars of a kind that are named.
const MAX_NAMED: usize = 20;

/// Why a release is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The release.
    pub release: ReleaseId,
    /// Where it is.
    pub phase: PhaseKind,
    /// The whole of it in plain words, line by line.
    pub text: Vec<String>,
    /// What it waits for; empty if for nothing.
    pub blockers: Vec<BlockerView>,
    /// The newest record of the journal that this rests on.
    pub seq: u64,
    /// The newest configuration that sidecars were given.
    pub serial: u64,
    /// Who has that configuration.
    pub sidecars: Sidecars,
    /// The last that happened to it, the newest last.
    pub happened: Vec<Happened>,
}

/// Who has the newest configuration, by name, up to twenty of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sidecars {
    /// How many are connected.
    pub connected: usize,
    /// Who has it.
    pub have: Vec<String>,
    /// Who was given it, or will be, and has not acknowledged it.
    pub lack: Vec<String>,
    /// Who refuses something of it.
    pub refuse: Vec<String>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// The number of its record in the journal.
    pub seq: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at: Timestamp,
    /// What, in one word.
    pub event: String,
    /// Who.
    pub actor: String,
    /// Why, if they said.
    pub reason: Option<String>,
}

/// Explains the newest release of a service.
pub(super) fn explain(
    view: &View,
    service: &ServiceState,
    release: &Release,
    nodes: &[NodeStatus],
    records: &[Record],
) -> Explanation {
    let progress = view.progress.get(&release.id);
    let blockers = progress.map(|it| BlockerView::all(&it.blockers)).unwrap_or_default();
    let sidecars = sidecars(nodes, view.serial);
    let happened = happened(records, release);
    let mut text = vec![place(release), rule(service, release)];
    text.extend(together(view, release));
    text.extend(progress.map(|progress| evidence(release, progress)));
    if release.is_running() {
        text.push(guardrails(&service.spec.guardrails));
        text.extend(waits(release, &blockers));
    }
    text.extend(view.halted.as_ref().map(|why| format!("Nothing can be decided now: {why}.")));
    text.push(configuration(view, &sidecars));
    text.extend(happened.iter().map(line));
    Explanation {
        release: release.id.clone(),
        phase: release.phase.name(),
        text,
        blockers,
        seq: view.seq,
        serial: view.serial,
        sidecars,
        happened,
    }
}

fn place(release: &Release) -> String {
    let Release { id, service, candidate, stable, started_at, .. } = release;
    let by = release.started_by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    let steps = release.plan.steps.len();
    let at = match &release.phase {
        Phase::Preparing { since, .. } => format!("is being prepared, at 0%, since {since}"),
        Phase::Stepping { step, since } => {
            let (step, weight) = (step.saturating_add(1), release.weight());
            format!("is on step {step} of {steps}, at {weight}, since {since}")
        }
        Phase::Watching { since } => format!("is at 100% and watched since {since}"),
        Phase::Completed { at } => format!("is complete since {at}"),
        Phase::RolledBack { at, cause } => format!("went back at {at}: {cause}"),
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
            "It enters its first step when {share} of the sidecars know {candidate}, its {} smoke tests have passed, \
             and its {} required checks and its approvals are there.",
            plan.smoke_tests.len(),
            plan.requires.checks.len()
        ),
        Phase::Stepping { step, .. } => {
            let step = plan.steps.get(*step);
            let time = shown(step.map_or(Duration::ZERO, |step| step.time));
            let requests = step.map_or(0, |step| step.min_requests);
            format!(
                "It stays for at least {time} from when {share} of the sidecars have it, until {candidate} has \
                 served {requests} requests in it, no guardrail alerts and nothing else holds it."
            )
        }
        Phase::Watching { .. } => format!(
            "After {} in which nothing is wrong, {candidate} is the stable version; until then it goes back by itself.",
            shown(plan.watch)
        ),
        Phase::Completed { .. } => match (&service.previous, service.previous_until) {
            (Some(previous), Some(until)) => {
                format!(
                    "{candidate} is stable. {previous} is kept until {until}: a rollback is one push."
                )
            }
            _ => format!("{candidate} is stable. The version before it is not kept any more."),
        },
        Phase::RolledBack { .. } => format!("{stable} served everybody again from then on."),
    }
}

/// Whom it goes together with.
fn together(view: &View, release: &Release) -> Option<String> {
    let (name, group) = view.state.group_of(&release.id)?;
    let others = group.members.iter().filter(|id| **id != release.id);
    let others: Vec<_> = others.map(ToString::to_string).collect();
    let others = others.join(", ");
    Some(format!("As group {name} it goes together with {others}: each step, and back."))
}

fn evidence(release: &Release, progress: &Progress) -> String {
    let told = |name, counted: &Evidence| {
        let Evidence { requests, errors, .. } = counted;
        format!("{name} failed {errors} of {requests} requests")
    };
    let seen = &progress.observation;
    format!(
        "Since then {}, {}; the judge says: {}.",
        told(&release.candidate, &seen.candidate),
        told(&release.stable, &seen.stable),
        seen.verdict
    )
}

fn guardrails(promised: &Guardrails) -> String {
    let Guardrails { error_rate, latency, min_requests, .. } = promised;
    format!(
        "An error rate above {} alerts and above {} breaks the guardrail; so does the {} quantile of the latency \
         above {} or {}, and {}. A rate counts from {min_requests} requests on, and before that if chance does not explain it.",
        error_rate.alert,
        error_rate.rollback,
        latency.quantile,
        shown(latency.warning),
        shown(latency.critical),
        shown(latency.rollback),
    )
}

fn waits(release: &Release, blockers: &[BlockerView]) -> Vec<String> {
    if blockers.is_empty() {
        return vec!["It waits for nothing, and advances with the next evaluation.".to_owned()];
    }
    let held = if release.held.is_some() { ", paused at its weight" } else { "" };
    let head = format!("It waits{held} for:");
    let each = blockers.iter().map(|it| format!("- {}", it.detail));
    std::iter::once(head).chain(each).collect()
}

fn configuration(view: &View, sidecars: &Sidecars) -> String {
    let list = |names: &[String]| match names {
        [] => "nobody".to_owned(),
        names => names.join(", "),
    };
    format!(
        "Of {} sidecars, these have configuration {} (journal record {}): {}; not yet: {}; refused: {}.",
        sidecars.connected,
        view.serial,
        view.seq,
        list(&sidecars.have),
        list(&sidecars.lack),
        list(&sidecars.refuse),
    )
}

fn sidecars(nodes: &[NodeStatus], serial: u64) -> Sidecars {
    let mut sidecars = Sidecars::default();
    let mut connected: Vec<_> = nodes.iter().filter(|node| node.connected).collect();
    connected.sort_by(|a, b| a.node.cmp(&b.node));
    sidecars.connected = connected.len();
    for node in connected {
        let names = if !node.refused.is_empty() {
            &mut sidecars.refuse
        } else if has_all(node, serial) {
            &mut sidecars.have
        } else {
            &mut sidecars.lack
        };
        if names.len() < MAX_NAMED {
            names.push(node.node.clone());
        }
    }
    sidecars
}

fn happened(records: &[Record], release: &Release) -> Vec<Happened> {
    let about = records.iter().rev().filter(|it| is_about(it.event.event(), release));
    let mut happened: Vec<_> = about
        .take(MAX_HAPPENED)
        .map(|record| Happened {
            seq: record.seq,
            at: record.at,
            event: record.event.event().kind().to_owned(),
            actor: record.actor.clone(),
            reason: record.reason.clone(),
        })
        .collect();
    happened.reverse();
    happened
}

/// What is said of its candidate, and what holds its service, happens to a release as well.
fn is_about(event: &Event, release: &Release) -> bool {
    match event {
        Event::CheckReported { service, version, .. }
        | Event::SignalRaised { service, version, .. }
        | Event::SignalCleared { service, version, .. }
        | Event::VersionQuarantined { service, version, .. }
        | Event::QuarantineLifted { service, version, .. } => {
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

fn line(it: &Happened) -> String {
    let Happened { seq, at, event, actor, reason } = it;
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let event = event.replace('_', " ");
    format!("#{seq} {at} {event}, by {actor}{reason}")
}

fn shown(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
