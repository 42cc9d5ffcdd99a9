//! The progress of a group: all members advance once nothing blocks any of them, and all roll back as soon as one must. A
//! release without a group is decided alone.

use super::advance::{Evaluation, ReleaseContext, Transition, evaluate};
use super::groups::with;
use super::verbs::rolled_back;
use crate::model::blocker::Blocker;
use crate::model::event::Event;
use crate::model::progress::Progress;
use crate::model::release::RollbackCause;
use crate::names::ReleaseId;

/// Decides what follows from what is seen now of running releases that go together, and says of
/// each, in the same order, what it waits for.
#[must_use]
pub fn decide_progress(contexts: &[ReleaseContext<'_>]) -> (Vec<Event>, Vec<Progress>) {
    let evaluations: Vec<_> = contexts.iter().map(evaluate).collect();
    let events = match first_back(contexts, &evaluations) {
        Some(others) => go_back(contexts, &evaluations, &others),
        None => go_on(&evaluations),
    };
    let waits: Vec<_> = contexts.iter().zip(&evaluations).filter_map(holds).collect();
    let progress =
        contexts.iter().zip(evaluations).map(|(context, Evaluation { mut progress, .. })| {
            let others = waits.iter().filter(|(of, _)| **of != context.release.id);
            progress.blockers.extend(others.map(|(_, blocker)| blocker.clone()));
            progress
        });
    (events, progress.collect())
}

/// If one must go back: why the others do.
fn first_back(
    contexts: &[ReleaseContext<'_>],
    evaluations: &[Evaluation],
) -> Option<RollbackCause> {
    contexts.iter().zip(evaluations).find_map(|(context, evaluation)| {
        match &evaluation.transition {
            Transition::RollBack(cause) => Some(with(&context.release.id, cause)),
            Transition::Hold | Transition::Advance(_) => None,
        }
    })
}

fn go_back(
    contexts: &[ReleaseContext<'_>],
    evaluations: &[Evaluation],
    others: &RollbackCause,
) -> Vec<Event> {
    let each = contexts.iter().zip(evaluations).map(|(context, evaluation)| {
        let cause = match &evaluation.transition {
            Transition::RollBack(cause) => cause,
            Transition::Hold | Transition::Advance(_) => others,
        };
        rolled_back(&context.release.id, cause.clone())
    });
    each.collect()
}

fn go_on(evaluations: &[Evaluation]) -> Vec<Event> {
    let onwards: Option<Vec<_>> = evaluations
        .iter()
        .map(|evaluation| match &evaluation.transition {
            Transition::Advance(event) => Some(Event::clone(event)),
            Transition::Hold | Transition::RollBack(_) => None,
        })
        .collect();
    let own = evaluations.iter().flat_map(|evaluation| &evaluation.events).cloned();
    own.chain(onwards.into_iter().flatten()).collect()
}

/// What blocks the others of its group while something blocks this one.
fn holds<'a>(
    (context, evaluation): (&ReleaseContext<'a>, &Evaluation),
) -> Option<(&'a ReleaseId, Blocker)> {
    let id = &context.release.id;
    let (group, _) = context.state.group_of(id)?;
    let blockers = &evaluation.progress.blockers;
    let blocker =
        || Blocker::Group { group: group.clone(), release: id.clone(), blockers: blockers.clone() };
    (!blockers.is_empty()).then(|| (id, blocker()))
}
