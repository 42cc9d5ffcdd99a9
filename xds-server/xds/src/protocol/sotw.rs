//! State of the world: every request lists all names, and a response of clusters or listeners is
//! the whole set.

use std::sync::Arc;

use super::ack::{Entry, Gap};
use super::dialect::{Content, Dialect, Draft, Rules, View};
use super::message::{Event, Refusal, Request, check_names};
use super::order::Want;
use super::watch::{Standing, Watch};
use crate::kind::{Kind, Mode};
use crate::resources::{Collection, Name, Resource, empty_assignment, version_of};

/// State of the world.
#[derive(Debug)]
pub enum Sotw {}

/// The names of a state-of-the-world request.
#[derive(Debug, Default)]
pub struct SotwNames {
    /// All that is wanted.
    pub names: Vec<String>,
    /// True if the client says that it accepted a version of this type, perhaps before this stream.
    pub accepted: bool,
}

impl Dialect for Sotw {}

impl Rules for Sotw {
    const MODE: Mode = Mode::Sotw;

    type Names = SotwNames;

    fn takes_parts(kind: Kind) -> bool {
        !kind.is_full_set()
    }

    fn take(
        watch: &mut Watch,
        request: Request<SotwNames>,
        collection: &Collection,
        opening: bool,
    ) -> Result<Option<Event>, Refusal> {
        let kind = request.kind;
        check_names(kind, request.names.names.iter())?;
        let standing = watch.standing(&request.nonce);
        // The first request of a type may bring a nonce from another stream: it says nothing here.
        if standing == Standing::Stale && !opening {
            // The client has not seen our newest response. Its answer to that will list all names.
            return Ok(None);
        }
        let event = match standing {
            Standing::Answer => {
                watch.answer(kind, request.error.as_deref(), Self::takes_parts(kind))
            }
            _ => None,
        };
        let accepted = request.names.accepted;
        let names = request.names.names.iter().map(|name| collection.share(name));
        let change = watch.subscription.replace(names);
        watch.apply(kind, change)?;
        // Without a nonce the client has seen no response, or remembers none: it needs them all.
        if opening || (standing == Standing::Bare && watch.in_flight.is_none()) {
            let all: Vec<Name> = watch.subscription.explicit().iter().cloned().collect();
            if opening && accepted {
                watch.claim(all.iter().map(|name| (&**name, "")), collection);
            }
            watch.forced.extend(all);
            watch.owed = true;
            watch.dirty = true;
        }
        Ok(event)
    }

    fn compose(view: View<'_>) -> Draft {
        if view.kind.is_full_set() { whole(view) } else { part(view) }
    }
}

/// Everything that is wanted, if anything of it is new or gone.
fn whole(view: View<'_>) -> Draft {
    let watch = view.watch;
    let mut content = Content::default();
    let mut due = watch.owed || !watch.forced.is_empty();
    let mut waiting = false;
    for name in watch.names(view.collection) {
        let entry = watch.entries.get(name);
        let want = view.order.want(view.kind, name);
        waiting |= want.is_for_now();
        match want {
            Want::Have(resource) => {
                due |= gap(entry, &resource) == Gap::Open;
                content.resources.push(resource.into_owned());
            }
            // Even if it was refused: the client may have taken it all the same, and route to it.
            Want::Keep => {
                let kept = entry.and_then(Entry::content);
                content.resources.extend(kept.cloned());
            }
            // Accepting a set is accepting that all else is gone.
            Want::Gone => {
                if let Some(entry) = entry.filter(|entry| !entry.is_gone()) {
                    due |= entry.gap(None) == Gap::Open;
                    content.removed.push(Arc::clone(name));
                }
            }
        }
    }
    finish(content, due, waiting)
}

/// What is new of what is wanted. What is missing is passed over in silence and remembered.
fn part(view: View<'_>) -> Draft {
    let watch = view.watch;
    let mut content = Content::default();
    let mut suspect = None;
    let mut waiting = false;
    for name in watch.names(view.collection) {
        let forced = watch.forced.contains(name);
        let want = view.order.want(view.kind, name);
        waiting |= want.is_for_now();
        match want {
            Want::Have(resource) => match gap(watch.entries.get(name), &resource) {
                Gap::None if !forced => {}
                Gap::Suspect if !forced => suspect = suspect.or(Some(resource.into_owned())),
                _ => content.resources.push(resource.into_owned()),
            },
            // A client that reconnects may have a cluster that is gone, warming: it would wait for
            // endpoints for ever.
            Want::Gone if forced && watch.owed && view.kind == Kind::Endpoint => {
                content.resources.push(Arc::new(empty_assignment(name)));
            }
            Want::Gone | Want::Keep => {}
        }
    }
    if content.resources.is_empty() {
        content.resources.extend(suspect);
    }
    let due = !content.resources.is_empty();
    finish(content, due, waiting)
}

fn gap(entry: Option<&Entry>, want: &Resource) -> Gap {
    entry.map_or(Gap::Open, |entry| entry.gap(Some(want.version())))
}

fn finish(mut content: Content, due: bool, waiting: bool) -> Draft {
    content.version = version_of(content.resources.iter().map(|resource| &**resource));
    Draft { content: due.then_some(content), waiting }
}
