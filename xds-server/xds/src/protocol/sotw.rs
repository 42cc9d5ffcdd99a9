//! State of the world: every request lists all names, and a response of clusters or listeners is the full set.

use std::sync::Arc;

use super::entry::{Entry, Staleness};
use super::message::{Event, ProtocolError, Request, check_names};
use super::sequencing::Target;
use super::type_state::{NonceStatus, TypeState};
use super::variant::{Draft, ResponseBody, TypeView, Variant, VariantRules};
use crate::kind::{Kind, Mode};
use crate::resources::{Collection, Name, Resource, empty_assignment, version_of};

/// The state-of-the-world variant.
#[derive(Debug)]
pub enum Sotw {}

/// The names of a state-of-the-world request.
#[derive(Debug, Default)]
pub struct SotwNames {
    /// `resource_names`: the whole subscription.
    pub names: Vec<String>,
    /// `version_info` is not empty: the client has ACKed a version of this type, possibly on an earlier stream.
    pub has_version_info: bool,
}

impl Variant for Sotw {}

impl VariantRules for Sotw {
    const MODE: Mode = Mode::Sotw;

    type Names = SotwNames;

    fn allows_subset(kind: Kind) -> bool {
        !kind.is_full_set()
    }

    fn on_request(
        state: &mut TypeState,
        request: Request<SotwNames>,
        collection: &Collection,
        is_first: bool,
    ) -> Result<Option<Event>, ProtocolError> {
        let kind = request.kind;
        check_names(kind, request.names.names.iter())?;
        let nonce_status = state.nonce_status(&request.nonce);
        // The first request of a type may contain a nonce of an earlier stream, which is ignored.
        if nonce_status == NonceStatus::Stale && !is_first {
            // Sent before the client received the newest response. Its answer to that will list all names.
            return Ok(None);
        }
        let event = match nonce_status {
            NonceStatus::InFlight => {
                state.on_answer(kind, request.error.as_deref(), Self::allows_subset(kind))
            }
            _ => None,
        };
        let has_version_info = request.names.has_version_info;
        let names = request.names.names.iter().map(|name| collection.intern(name));
        let change = state.subscription.replace(names);
        state.on_subscription_change(kind, change)?;
        // Without a nonce the client has received no response, so all resources must be sent.
        if is_first || (nonce_status == NonceStatus::Absent && state.in_flight.is_none()) {
            let all: Vec<Name> = state.subscription.explicit().iter().cloned().collect();
            if is_first && has_version_info {
                state.resume(all.iter().map(|name| (&**name, "")), collection);
            }
            state.must_send.extend(all);
            state.response_required = true;
            state.is_dirty = true;
        }
        Ok(event)
    }

    fn draft(view: TypeView<'_>) -> Draft {
        if view.kind.is_full_set() { full_set(view) } else { subset(view) }
    }
}

/// Every subscribed resource, if any of them is new, changed or removed.
fn full_set(view: TypeView<'_>) -> Draft {
    let state = view.state;
    let mut body = ResponseBody::default();
    let mut is_due = state.response_required || !state.must_send.is_empty();
    let mut is_blocked = false;
    for name in state.candidate_names(view.collection) {
        let entry = state.entries.get(name);
        let target = view.sequencing.target(view.kind, name);
        is_blocked |= target.is_provisional();
        match target {
            Target::Resource(resource) => {
                is_due |= staleness(entry, &resource) == Staleness::Stale;
                body.resources.push(resource.into_owned());
            }
            // Also if it was NACKed: the client may have applied it, and may route to it.
            Target::Unchanged => {
                let kept = entry.and_then(Entry::sent_resource);
                body.resources.extend(kept.cloned());
            }
            // The ACK of a set confirms the removal of everything else.
            Target::Absent => {
                if let Some(entry) = entry.filter(|entry| !entry.is_absent()) {
                    is_due |= entry.staleness(None) == Staleness::Stale;
                    body.removed.push(Arc::clone(name));
                }
            }
        }
    }
    finish(body, is_due, is_blocked)
}

/// The changed resources among the subscribed ones. For a name that does not exist nothing is sent until it does.
fn subset(view: TypeView<'_>) -> Draft {
    let state = view.state;
    let mut body = ResponseBody::default();
    let mut retry = None;
    let mut is_blocked = false;
    for name in state.candidate_names(view.collection) {
        let must_send = state.must_send.contains(name);
        let target = view.sequencing.target(view.kind, name);
        is_blocked |= target.is_provisional();
        match target {
            Target::Resource(resource) => match staleness(state.entries.get(name), &resource) {
                Staleness::Current if !must_send => {}
                Staleness::RetryAlone if !must_send => {
                    retry = retry.or(Some(resource.into_owned()));
                }
                _ => body.resources.push(resource.into_owned()),
            },
            // After a reconnection Envoy may have a removed cluster that is warming. Without an answer it would wait for the
            // endpoints forever.
            Target::Absent
                if must_send && state.response_required && view.kind == Kind::Endpoint =>
            {
                body.resources.push(Arc::new(empty_assignment(name)));
            }
            Target::Absent | Target::Unchanged => {}
        }
    }
    if body.resources.is_empty() {
        body.resources.extend(retry);
    }
    let is_due = !body.resources.is_empty();
    finish(body, is_due, is_blocked)
}

fn staleness(entry: Option<&Entry>, target: &Resource) -> Staleness {
    entry.map_or(Staleness::Stale, |entry| entry.staleness(Some(target.version())))
}

fn finish(mut body: ResponseBody, is_due: bool, is_blocked: bool) -> Draft {
    body.version = version_of(body.resources.iter().map(|resource| &**resource));
    Draft { body: is_due.then_some(body), is_blocked }
}
