//! The progress of a group: all members advance once nothing blocks any of them, and all roll back as soon as one must. A
//! release without a group is decided alone.

use super::advance::{Evaluation, ReleaseContext, Transition, evaluate};
use super::groups::group_cause;
use super::verbs::rolled_back;
use crate::model::blocker::Blocker;
use crate::model::event::Event;
use crate::model::progress::Progress;
use crate::model::release::RollbackCause;
use crate::names::ReleaseId;

/// Decides the progress of the running releases of one group from their observations. Returns the events, and the
/// progress of each release in the same order.
#[must_use]
pub fn decide_progress(contexts: &[ReleaseContext<'_>]) -> (Vec<Event>, Vec<Progress>) {
    let evaluations: Vec<_> = contexts.iter().map(evaluate).collect();
    let events = match group_rollback(contexts, &evaluations) {
        Some(cause) => roll_back(contexts, &evaluations, &cause),
        None => advance(&evaluations),
    };
    let blockers: Vec<_> = contexts.iter().zip(&evaluations).filter_map(group_blocker).collect();
    let progress =
        contexts.iter().zip(evaluations).map(|(context, Evaluation { mut progress, .. })| {
            let others = blockers.iter().filter(|(of, _)| **of != context.release.id);
            progress.blockers.extend(others.map(|(_, blocker)| blocker.clone()));
            progress
        });
    (events, progress.collect())
}

/// The rollback cause of the other members, if a member must be rolled back.
fn group_rollback(
    contexts: &[ReleaseContext<'_>],
    evaluations: &[Evaluation],
) -> Option<RollbackCause> {
    contexts.iter().zip(evaluations).find_map(|(context, evaluation)| {
        match &evaluation.transition {
            Transition::RollBack(cause) => Some(group_cause(&context.release.id, cause)),
            Transition::Hold | Transition::Advance(_) => None,
        }
    })
}

fn roll_back(
    contexts: &[ReleaseContext<'_>],
    evaluations: &[Evaluation],
    of_group: &RollbackCause,
) -> Vec<Event> {
    let each = contexts.iter().zip(evaluations).map(|(context, evaluation)| {
        let cause = match &evaluation.transition {
            Transition::RollBack(cause) => cause,
            Transition::Hold | Transition::Advance(_) => of_group,
        };
        rolled_back(context.release, cause.clone())
    });
    each.collect()
}

/// The events of each member; and if all members can advance, those that advance them.
fn advance(evaluations: &[Evaluation]) -> Vec<Event> {
    let advances: Option<Vec<_>> = evaluations
        .iter()
        .map(|evaluation| match &evaluation.transition {
            Transition::Advance(event) => Some(Event::clone(event)),
            Transition::Hold | Transition::RollBack(_) => None,
        })
        .collect();
    let own = evaluations.iter().flat_map(|evaluation| &evaluation.events).cloned();
    own.chain(advances.into_iter().flatten()).collect()
}

/// The blocker of the other members while something blocks this one.
fn group_blocker<'a>(
    (context, evaluation): (&ReleaseContext<'a>, &Evaluation),
) -> Option<(&'a ReleaseId, Blocker)> {
    let id = &context.release.id;
    let (group, _) = context.state.group_of(id)?;
    let blockers = &evaluation.progress.blockers;
    let blocker =
        || Blocker::Group { group: group.clone(), release: id.clone(), blockers: blockers.clone() };
    (!blockers.is_empty()).then(|| (id, blocker()))
}
