//! What goes together: the next step when the gate of each is open, and back as soon as one must.
//! A release that is of no group goes together with nobody.

use super::advance::{Look, Sight, Way, look};
use super::groups::with;
use super::verbs::rolled_back;
use crate::model::event::Event;
use crate::model::progress::Progress;
use crate::model::release::RollbackCause;
use crate::names::ReleaseId;

/// Decides what follows from what is seen now of running releases that go together, and says of
/// each, in the same order, what it waits for.
#[must_use]
pub fn decide_progress(sights: &[Sight<'_>]) -> (Vec<Event>, Vec<Progress>) {
    let looks: Vec<_> = sights.iter().map(look).collect();
    let events = match first_back(sights, &looks) {
        Some(others) => go_back(sights, &looks, &others),
        None => go_on(&looks),
    };
    let waits: Vec<_> = sights.iter().zip(&looks).filter_map(holds).collect();
    let progress = sights.iter().zip(looks).map(|(sight, Look { mut progress, .. })| {
        let others = waits.iter().filter(|(of, _)| **of != sight.release.id);
        progress.waiting_for.extend(others.map(|(_, words)| words.clone()));
        progress
    });
    (events, progress.collect())
}

/// If one must go back: why the others do.
fn first_back(sights: &[Sight<'_>], looks: &[Look]) -> Option<RollbackCause> {
    sights.iter().zip(looks).find_map(|(sight, look)| match &look.way {
        Way::Back(cause) => Some(with(&sight.release.id, cause)),
        Way::Stay | Way::On(_) => None,
    })
}

fn go_back(sights: &[Sight<'_>], looks: &[Look], others: &RollbackCause) -> Vec<Event> {
    let each = sights.iter().zip(looks).map(|(sight, look)| {
        let cause = match &look.way {
            Way::Back(cause) => cause,
            Way::Stay | Way::On(_) => others,
        };
        rolled_back(&sight.release.id, cause.clone())
    });
    each.collect()
}

fn go_on(looks: &[Look]) -> Vec<Event> {
    let onwards: Option<Vec<_>> = looks
        .iter()
        .map(|look| match &look.way {
            Way::On(event) => Some(Event::clone(event)),
            Way::Stay | Way::Back(_) => None,
        })
        .collect();
    let own = looks.iter().flat_map(|look| &look.events).cloned();
    own.chain(onwards.into_iter().flatten()).collect()
}

/// What the others of its group wait for when they wait for this one.
fn holds<'a>((sight, look): (&Sight<'a>, &Look)) -> Option<(&'a ReleaseId, String)> {
    let id = &sight.release.id;
    let (group, _) = sight.state.group_of(id)?;
    let waits = &look.progress.waiting_for;
    let words = || format!("`{id}` of its group `{group}`, which waits for {}", waits.join("; "));
    (!waits.is_empty()).then(|| (id, words()))
}
