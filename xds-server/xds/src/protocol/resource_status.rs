//! The status of each subscribed resource, derived on request from the session for inspection (CSDS, `tidegate nodes`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::type_state::TypeState;
use crate::kind::Kind;
use crate::resources::{Collection, FleetSnapshot, Name, Resource};

/// The status of one resource that a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceStatus {
    /// The resource's name.
    pub name: Name,
    /// The state of synchronization.
    pub state: SyncState,
    /// Last version that was sent; `None` if nothing was sent, or a removal.
    pub sent: Option<Box<str>>,
    /// Last version that the client ACKed.
    pub acked: Option<Box<str>>,
    /// Last content that was sent. `None` for content from before this stream.
    pub content: Option<Arc<Resource>>,
}

/// How far one resource is synchronized with one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// The snapshot contains no resource of this name.
    DoesNotExist,
    /// Not sent yet.
    NotSent,
    /// Sent, neither ACKed nor NACKed.
    Sent,
    /// The client ACKed the current version.
    Acked,
    /// The client ACKed an older version; the current one is not sent yet, because it waits for another type.
    Stale,
    /// The client NACKed the last response that contained it.
    Nacked,
}

/// The status of all subscribed resources, by kind.
pub(super) fn resource_statuses(
    types: &BTreeMap<Kind, TypeState>,
    snapshot: &FleetSnapshot,
) -> BTreeMap<Kind, Vec<ResourceStatus>> {
    let of_kind = |(kind, state): (&Kind, &TypeState)| {
        let collection = snapshot.collection(*kind);
        let names = state.candidate_names(collection).into_iter();
        (*kind, names.map(|name| status(name, state, collection)).collect())
    };
    types.iter().map(of_kind).collect()
}

fn status(name: &Name, state: &TypeState, collection: &Collection) -> ResourceStatus {
    let entry = state.entries.get(name);
    let target = collection.get(name).map(|resource| resource.version());
    let sent = entry.and_then(Entry::sent_version);
    let state = match entry {
        Some(entry) if entry.is_nacked() => SyncState::Nacked,
        Some(entry) if entry.is_in_flight() => SyncState::Sent,
        _ if target.is_none() && sent.is_none() => SyncState::DoesNotExist,
        _ if sent.is_none() => SyncState::NotSent,
        _ if sent == target => SyncState::Acked,
        _ => SyncState::Stale,
    };
    ResourceStatus {
        name: Arc::clone(name),
        state,
        sent: sent.map(Into::into),
        acked: entry.and_then(Entry::acked_version).map(Into::into),
        content: entry.and_then(Entry::sent_resource).cloned(),
    }
}
