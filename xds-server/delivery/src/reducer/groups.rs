//! Groups: the start of a group, commands on all its members, and the rollback of all members. A group does what each
//! member would do alone: all of them in one append, or none.

use std::collections::BTreeSet;

use super::deploy::running;
use super::verbs::{rolled_back, verb_name, wrong_phase};
use super::{Decision, decision, find, start, unchanged, verbs};
use crate::model::command::{CommandContext, Outcome, Refusal, ReleaseCommand};
use crate::model::event::Event;
use crate::model::group::{Group, MAX_MEMBERS, Member};
use crate::model::outcome::Effect;
use crate::model::plan::Plan;
use crate::model::refusal::{Conflict, Invalid, Known};
use crate::model::release::{Phase, Release, RollbackCause};
use crate::model::state::{ServiceState, State};
use crate::names::{GroupName, ReleaseId, VersionName};

/// Starts a release of each member, or none.
pub(super) fn start(
    state: &State,
    command_context: &CommandContext<'_>,
    name: &GroupName,
    members: &[Member],
    plan: Option<&Plan>,
) -> Result<Decision, Refusal> {
    if let Some(known) = state.groups.get(name).filter(|it| is_running(state, it)) {
        return start_again(state, name, known, members);
    }
    check(state, name, members, plan)?;
    let (mut events, mut outcomes) = (Vec::new(), Vec::new());
    for Member { service, version, commit } in members {
        let service = find(state, service)?;
        if let Some(release) = service.running() {
            return Err(running(release));
        }
        let (begun, outcome) =
            start::begin(state, service, command_context, version, plan, commit.as_ref())?;
        events.extend(begun);
        outcomes.push(outcome);
    }
    let ids = outcomes.iter().filter_map(|it| it.release.clone()).collect();
    events.push(Event::GroupStarted { id: name.clone(), members: ids });
    Ok(decision(None, events, Effect::Group { group: name.clone(), members: outcomes }))
}

fn is_running(state: &State, group: &Group) -> bool {
    state.members(group).any(|(_, release)| release.is_running())
}

/// A repeated start is idempotent if it names the same members.
fn start_again(
    state: &State,
    name: &GroupName,
    group: &Group,
    requested: &[Member],
) -> Result<Decision, Refusal> {
    let requested: BTreeSet<_> = requested.iter().map(|it| (&it.service, &it.version)).collect();
    let known = state.members(group).map(|(_, it)| (&it.service, &it.candidate));
    if requested == known.collect() {
        let (group, members) = (name.clone(), group.members.clone());
        return Ok(unchanged(None, Effect::GroupRunning { group, members }));
    }
    let members = Known::of(group.members.iter());
    Err(Refusal::GroupRunning { group: name.clone(), members })
}

/// Checks what applies to groups only.
fn check(
    state: &State,
    group: &GroupName,
    members: &[Member],
    plan: Option<&Plan>,
) -> Result<(), Refusal> {
    let group = group.clone();
    if !(2..=MAX_MEMBERS).contains(&members.len()) {
        return Err(Invalid::GroupSize { group, count: members.len() }.into());
    }
    let mut services = BTreeSet::new();
    let mut first = None;
    for Member { service, .. } in members {
        if !services.insert(service) {
            return Err(Invalid::DuplicateMember { group, service: service.clone() }.into());
        }
        let own = &find(state, service)?.spec.plan;
        let steps = plan.unwrap_or(own).steps.len();
        let (first, first_steps) = *first.get_or_insert((service, steps));
        if steps != first_steps {
            let (first, service) = (first.clone(), service.clone());
            return Err(Invalid::GroupSteps { group, first, first_steps, service, steps }.into());
        }
    }
    Ok(())
}

/// A command on all members. If one member refuses it, it has no effect on any. Exceptions are approvals and rollbacks: they
/// apply to every member that accepts them.
pub(super) fn decide(
    state: &State,
    command_context: &CommandContext<'_>,
    name: &GroupName,
    command: &ReleaseCommand,
) -> Result<Decision, Refusal> {
    let group = state.groups.get(name).ok_or_else(|| Refusal::UnknownGroup {
        group: name.clone(),
        known: Known::of(state.groups.keys()),
    })?;
    let (mut events, mut members, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (service, release) in state.members(group) {
        match verbs::decide_one(state, command_context, service, release, command) {
            Ok((decided, outcome)) => {
                events.extend(decided);
                members.push(outcome);
            }
            Err(Refusal::WrongPhase { verb, release, conflict }) if applies_to_each(command) => {
                refused.push((verb, release, conflict));
            }
            Err(refusal) => return Err(refusal),
        }
    }
    if members.is_empty()
        && let Some((verb, release, conflict)) = refused.first().cloned()
    {
        return Err(Refusal::WrongPhase { verb, release, conflict });
    }
    members.extend(refused.into_iter().map(|(verb, release, conflict)| Outcome {
        release: Some(release),
        changed: false,
        effect: Effect::Refused { verb, conflict },
    }));
    Ok(decision(None, events, Effect::Group { group: name.clone(), members }))
}

/// True if a member that refuses the command does not prevent it for the others.
const fn applies_to_each(command: &ReleaseCommand) -> bool {
    matches!(command, ReleaseCommand::Approve { .. } | ReleaseCommand::Rollback)
}

/// Refuses a command that applies to the whole group only.
pub(super) fn refuse_member(
    state: &State,
    release: &Release,
    command: &ReleaseCommand,
) -> Result<(), Refusal> {
    let Some((group, _)) = state.group_of(&release.id).filter(|_| release.is_running()) else {
        return Ok(());
    };
    let verb = verb_name(command);
    Err(wrong_phase(release, verb, Conflict::GroupMember { group: group.clone(), verb }))
}

/// Adds the rollback of the other members to the events that roll back one member. The members of a complete group are
/// restored only if each has a previous version, which, unless an operator decides, is not quarantined.
pub(super) fn with_rollback_of_group(state: &State, mut events: Vec<Event>) -> Vec<Event> {
    let added: Vec<_> = events.iter().flat_map(|event| rollback_of_others(state, event)).collect();
    events.extend(added);
    events
}

fn rollback_of_others(state: &State, event: &Event) -> Vec<Event> {
    match event {
        Event::RolledBack { id, cause, .. } => {
            let others = other_members(state, id).filter(|(_, it)| it.is_running());
            others.map(|(_, it)| rolled_back(it, group_cause(id, cause))).collect()
        }
        Event::StableRestored { service, cause, .. } => {
            let release = state.services.get(service).and_then(|it| it.release.as_ref());
            let Some(release) = release.filter(|it| is_complete(it)) else {
                return Vec::new();
            };
            let others = other_members(state, &release.id).map(|(service, it)| {
                let is_allowed = |version: &&VersionName| {
                    *cause == RollbackCause::Operator || !service.quarantined.contains_key(*version)
                };
                let previous = service.previous.as_ref().filter(|_| is_complete(it));
                Some(Event::StableRestored {
                    service: it.service.clone(),
                    version: previous.filter(is_allowed)?.clone(),
                    cause: group_cause(&release.id, cause),
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

/// The cause for the other members when `release` is rolled back.
pub(super) fn group_cause(release: &ReleaseId, cause: &RollbackCause) -> RollbackCause {
    RollbackCause::Group { release: release.clone(), cause: Box::new(cause.clone()) }
}

fn other_members<'a>(
    state: &'a State,
    id: &'a ReleaseId,
) -> impl Iterator<Item = (&'a ServiceState, &'a Release)> {
    state.with_group(id).into_iter().filter(move |(_, release)| release.id != *id)
}
