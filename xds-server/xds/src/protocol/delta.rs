//! Delta, the incremental variant: requests change the subscription by name, responses contain only changes.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Entry, Staleness};
use super::message::{Event, ProtocolError, Request, check_names};
use super::sequencing::Target;
use super::type_state::{NonceStatus, TypeState};
use super::variant::{Draft, ResponseBody, TypeView, Variant, VariantRules};
use crate::kind::{Kind, Mode};
use crate::resources::Collection;

/// The incremental variant.
#[derive(Debug)]
pub enum Delta {}

/// The names of a delta request.
#[derive(Debug, Default)]
pub struct DeltaNames {
    /// `resource_names_subscribe`.
    pub subscribe: Vec<String>,
    /// `resource_names_unsubscribe`.
    pub unsubscribe: Vec<String>,
    /// Versions that the client holds from before this stream, by name. Ignored after the first request of a type.
    pub initial_resource_versions: HashMap<String, String>,
}

impl Variant for Delta {}

impl VariantRules for Delta {
    const MODE: Mode = Mode::Delta;

    type Names = DeltaNames;

    fn allows_subset(_: Kind) -> bool {
        true
    }

    fn on_request(
        state: &mut TypeState,
        request: Request<DeltaNames>,
        collection: &Collection,
        is_first: bool,
    ) -> Result<Option<Event>, ProtocolError> {
        let kind = request.kind;
        let names = request.names;
        check_names(kind, names.subscribe.iter())?;
        check_names(kind, names.unsubscribe.iter())?;
        check_names(kind, names.initial_resource_versions.keys())?;
        let event = match state.nonce_status(&request.nonce) {
            NonceStatus::InFlight => {
                state.on_answer(kind, request.error.as_deref(), Self::allows_subset(kind))
            }
            // The names below apply whatever the nonce is.
            NonceStatus::Newest | NonceStatus::Absent | NonceStatus::Stale => None,
        };
        let change = state.subscription.adjust(
            names.subscribe.iter().map(|name| collection.intern(name)),
            names.unsubscribe.iter().map(|name| collection.intern(name)),
            is_first,
        );
        state.on_subscription_change(kind, change)?;
        if is_first && !names.initial_resource_versions.is_empty() {
            let reported = names.initial_resource_versions.iter();
            state.resume(reported.map(|(name, version)| (&**name, &**version)), collection);
        }
        Ok(event)
    }

    fn draft(view: TypeView<'_>) -> Draft {
        let state = view.state;
        let mut body = ResponseBody::default();
        let mut retries = ResponseBody::default();
        let mut is_blocked = false;
        for name in state.candidate_names(view.collection) {
            let staleness = |target: Option<&str>| {
                let entry = state.entries.get(name);
                let staleness = entry.map_or(Staleness::Stale, |it: &Entry| it.staleness(target));
                // A new subscription is answered even if the client NACKed the content before.
                if state.must_send.contains(name) { Staleness::Stale } else { staleness }
            };
            let target = view.sequencing.target(view.kind, name);
            is_blocked |= target.is_provisional();
            match target {
                Target::Resource(resource) => match staleness(Some(resource.version())) {
                    Staleness::Stale => body.resources.push(resource.into_owned()),
                    Staleness::RetryAlone => retries.resources.push(resource.into_owned()),
                    Staleness::Current => {}
                },
                Target::Absent => match staleness(None) {
                    Staleness::Stale => body.removed.push(Arc::clone(name)),
                    Staleness::RetryAlone => retries.removed.push(Arc::clone(name)),
                    Staleness::Current => {}
                },
                // A client without the endpoints of a removed cluster that it keeps until its routes are replaced: the cluster is
                // warming, and Envoy answers no clusters while one is. The removal ends the warming.
                Target::Unchanged
                    if view.kind == Kind::Endpoint
                        && state.must_send.contains(name)
                        && !state.entries.contains_key(name) =>
                {
                    body.removed.push(Arc::clone(name));
                }
                Target::Unchanged => {}
            }
        }
        if body.is_empty() && !state.response_required {
            body = first(retries);
        }
        body.version = view.collection.version().into();
        let is_due = state.response_required || !body.is_empty();
        Draft { body: is_due.then_some(body), is_blocked }
    }
}

/// One member of a response that was NACKed, to be sent alone.
fn first(mut retries: ResponseBody) -> ResponseBody {
    retries.resources.truncate(1);
    retries.removed.truncate(1 - retries.resources.len());
    retries
}
