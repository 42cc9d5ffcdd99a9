//! Releases that go together: how a group begins, what operators do to it, and how it goes back.
//! A group does what each of its members would do alone, all of them in one append, or nothing.

use std::collections::BTreeSet;

use super::deploy::running;
use super::verbs::{rolled_back, verb_name, wrong};
use super::{Decision, done, find, list, start, unchanged, verbs};
use crate::model::command::{CommandContext, Refusal, ReleaseCommand};
use crate::model::event::Event;
use crate::model::group::{Group, MAX_MEMBERS, Member};
use crate::model::plan::Plan;
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::state::{ServiceState, State};
use crate::names::{GroupName, ReleaseId, VersionName};

/// All members begin, or none.
pub(super) fn start(
    state: &State,
    command_context: &CommandContext<'_>,
    name: &GroupName,
    members: &[Member],
    plan: Option<&Plan>,
) -> Result<Decision, Refusal> {
    if let Some(known) = state.groups.get(name).filter(|it| is_running(state, it)) {
        return so_running(state, name, known, members);
    }
    check(state, name, members, plan)?;
    let (mut events, mut ids, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for Member { service, version, commit } in members {
        let service = find(state, service)?;
        if let Some(release) = service.running() {
            return Err(running(release));
        }
        let begun = start::begin(state, service, command_context, version, plan, commit.as_ref())?;
        events.extend(begun.0);
        ids.extend(begun.1.release);
        messages.push(begun.1.message);
    }
    events.push(Event::GroupStarted { id: name.clone(), members: ids });
    Ok(done(None, events, format!("release group `{name}`: {}", messages.join("; "))))
}

fn is_running(state: &State, group: &Group) -> bool {
    state.members(group).any(|(_, release)| release.is_running())
}

fn so_running(
    state: &State,
    name: &GroupName,
    group: &Group,
    asked: &[Member],
) -> Result<Decision, Refusal> {
    let asked: BTreeSet<_> = asked.iter().map(|it| (&it.service, &it.version)).collect();
    let known = state.members(group).map(|(_, it)| (&it.service, &it.candidate));
    let members = list(group.members.iter());
    if asked == known.collect() {
        let message = format!("release group `{name}` is running, with {members}");
        return Ok(unchanged(None, message));
    }
    Err(Refusal::GroupRunning { group: name.clone(), members })
}

/// What only a group can have wrong with it.
fn check(
    state: &State,
    name: &GroupName,
    members: &[Member],
    plan: Option<&Plan>,
) -> Result<(), Refusal> {
    let invalid = |why: String| Err(Refusal::Invalid(format!("release group `{name}`: {why}")));
    if !(2..=MAX_MEMBERS).contains(&members.len()) {
        return invalid(format!("it needs 2 to {MAX_MEMBERS} members, not {}", members.len()));
    }
    let mut seen = BTreeSet::new();
    let mut first = None;
    for Member { service: name, .. } in members {
        if !seen.insert(name) {
            return invalid(format!("service `{name}` is named twice"));
        }
        let own = &find(state, name)?.spec.plan;
        let steps = plan.unwrap_or(own).steps.len();
        let (leader, wanted) = *first.get_or_insert((name, steps));
        if steps != wanted {
            return invalid(format!(
                "the plan of `{name}` has {steps} steps and that of `{leader}` has {wanted}, and they \
                 take each step together: give them one plan, or plans with as many steps"
            ));
        }
    }
    Ok(())
}

/// What an operator asks of all. If it may not be for one, it is done to none; but each goes back
/// that can, and approving is each member's own: who approves does so wherever it is wanted.
pub(super) fn decide(
    state: &State,
    command_context: &CommandContext<'_>,
    name: &GroupName,
    command: &ReleaseCommand,
) -> Result<Decision, Refusal> {
    let group = state.groups.get(name).ok_or_else(|| Refusal::UnknownGroup {
        group: name.clone(),
        known: list(state.groups.keys()),
    })?;
    let mut decided = Vec::new();
    let mut refused = None;
    for (service, release) in state.members(group) {
        match verbs::alone(state, command_context, service, release, command) {
            Ok(decision) => decided.push(decision),
            Err(refusal) if is_each_ones_own(command) => {
                refused.get_or_insert(refusal);
            }
            Err(refusal) => return Err(refusal),
        }
    }
    let but = match refused {
        Some(refusal) if decided.is_empty() => return Err(refusal),
        Some(refusal) if *command == ReleaseCommand::Rollback => format!("; but {refusal}"),
        Some(_) | None => String::new(),
    };
    let (events, messages): (Vec<_>, Vec<_>) =
        decided.into_iter().map(|(events, outcome)| (events, outcome.message)).unzip();
    let events: Vec<_> = events.into_iter().flatten().collect();
    let message = format!("release group `{name}`: {}", messages.join("; ") + &but);
    Ok(if events.is_empty() { unchanged(None, message) } else { done(None, events, message) })
}

/// Whether one that may not does not keep the others from it.
const fn is_each_ones_own(command: &ReleaseCommand) -> bool {
    matches!(command, ReleaseCommand::Approve { .. } | ReleaseCommand::Rollback)
}

/// Refuses what a member cannot do alone.
pub(super) fn not_alone(
    state: &State,
    release: &Release,
    command: &ReleaseCommand,
) -> Result<(), Refusal> {
    let Some((group, _)) = state.group_of(&release.id).filter(|_| release.is_running()) else {
        return Ok(());
    };
    let verb = verb_name(command);
    let why =
        format!("it goes together with its group `{group}`: tidegate release group {verb} {group}");
    Err(wrong(release, verb, &why))
}

/// Adds to the events that take one release back those that take back its group. Of a complete
/// group, that is if each can still go back, and of itself to a safe version only; if one cannot,
/// each goes for itself.
pub(super) fn follow(state: &State, mut events: Vec<Event>) -> Vec<Event> {
    let along: Vec<_> = events.iter().flat_map(|event| along(state, event)).collect();
    events.extend(along);
    events
}

fn along(state: &State, event: &Event) -> Vec<Event> {
    match event {
        Event::RolledBack { id, cause } => {
            let others = others(state, id).filter(|(_, it)| it.is_running());
            others.map(|(_, it)| rolled_back(&it.id, with(id, cause))).collect()
        }
        Event::StableRestored { service, cause, .. } => {
            let release = state.services.get(service).and_then(|it| it.release.as_ref());
            let Some(release) = release.filter(|it| is_complete(it)) else {
                return Vec::new();
            };
            let others = others(state, &release.id).map(|(service, it)| {
                let is_fit = |version: &&VersionName| {
                    *cause == RollbackCause::Operator || !service.quarantined.contains_key(*version)
                };
                let version =
                    service.previous.as_ref().filter(|_| is_complete(it)).filter(is_fit)?;
                Some(Event::StableRestored {
                    service: it.service.clone(),
                    version: version.clone(),
                    cause: with(&release.id, cause),
                })
            });
            others.collect::<Option<_>>().unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

const fn is_complete(release: &Release) -> bool {
    matches!(release.phase, Phase::Completed { .. })
}

/// Why a release goes back when another does.
pub(super) fn with(of: &ReleaseId, cause: &RollbackCause) -> RollbackCause {
    RollbackCause::Group { of: of.clone(), why: cause.to_string() }
}

/// Those that go with a release.
fn others<'a>(
    state: &'a State,
    id: &'a ReleaseId,
) -> impl Iterator<Item = (&'a ServiceState, &'a Release)> {
    state.team(id).into_iter().filter(move |(_, release)| release.id != *id)
}
