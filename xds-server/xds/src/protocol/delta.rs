//! Delta: requests change the subscription name by name, responses hold only what changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::ack::{Entry, Gap};
use super::dialect::{Content, Dialect, Draft, Rules, View};
use super::message::{Event, Refusal, Request, check_names};
use super::order::Want;
use super::watch::{Standing, Watch};
use crate::kind::{Kind, Mode};
use crate::resources::Collection;

/// Delta, also called incremental.
#[derive(Debug)]
pub enum Delta {}

/// The names of a delta request.
#[derive(Debug, Default)]
pub struct DeltaNames {
    /// Wanted from now on.
    pub subscribe: Vec<String>,
    /// No longer wanted.
    pub unsubscribe: Vec<String>,
    /// What the client holds from before this stream, by name; only the first request of a type
    /// can say so.
    pub held: HashMap<String, String>,
}

impl Dialect for Delta {}

impl Rules for Delta {
    const MODE: Mode = Mode::Delta;

    type Names = DeltaNames;

    fn takes_parts(_: Kind) -> bool {
        true
    }

    fn take(
        watch: &mut Watch,
        request: Request<DeltaNames>,
        collection: &Collection,
        opening: bool,
    ) -> Result<Option<Event>, Refusal> {
        let kind = request.kind;
        let names = request.names;
        check_names(kind, names.subscribe.iter())?;
        check_names(kind, names.unsubscribe.iter())?;
        check_names(kind, names.held.keys())?;
        let event = match watch.standing(&request.nonce) {
            Standing::Answer => {
                watch.answer(kind, request.error.as_deref(), Self::takes_parts(kind))
            }
            // Whatever the nonce: the names below are never lost.
            Standing::Current | Standing::Bare | Standing::Stale => None,
        };
        let change = watch.subscription.adjust(
            names.subscribe.iter().map(|name| collection.share(name)),
            names.unsubscribe.iter().map(|name| collection.share(name)),
            opening,
        );
        watch.apply(kind, change)?;
        if opening {
            let held = names.held.iter().map(|(name, version)| (&**name, &**version));
            watch.claim(held, collection);
        }
        Ok(event)
    }

    fn compose(view: View<'_>) -> Draft {
        let watch = view.watch;
        let mut content = Content::default();
        let mut suspect = Content::default();
        let mut waiting = false;
        for name in watch.names(view.collection) {
            let gap = |want: Option<&str>| {
                let known = watch.entries.get(name);
                let gap = known.map_or(Gap::Open, |entry: &Entry| entry.gap(want));
                // A forced name is answered even if the client refused it: it asked again.
                if watch.forced.contains(name) { Gap::Open } else { gap }
            };
            let want = view.order.want(view.kind, name);
            waiting |= want.is_for_now();
            match want {
                Want::Have(resource) => match gap(Some(resource.version())) {
                    Gap::Open => content.resources.push(resource.into_owned()),
                    Gap::Suspect => suspect.resources.push(resource.into_owned()),
                    Gap::None => {}
                },
                Want::Gone => match gap(None) {
                    Gap::Open => content.removed.push(Arc::clone(name)),
                    Gap::Suspect => suspect.removed.push(Arc::clone(name)),
                    Gap::None => {}
                },
                Want::Keep => {}
            }
        }
        if content.is_empty() && !watch.owed {
            content = first(suspect);
        }
        content.version = view.collection.version().into();
        Draft { content: (watch.owed || !content.is_empty()).then_some(content), waiting }
    }
}

/// One member of a response that was refused, to be tried alone.
fn first(mut suspects: Content) -> Content {
    suspects.resources.truncate(1);
    suspects.removed.truncate(1 - suspects.resources.len());
    suspects
}
