//! What a client holds, for whoever asks. Made only when asked: nothing is kept for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ack::Entry;
use super::watch::Watch;
use crate::kind::Kind;
use crate::resources::{Collection, FleetSnapshot, Name, Resource};

/// What one client holds of one resource that it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Its name.
    pub name: Name,
    /// How it stands.
    pub state: HoldingState,
    /// The version that the client was told last; none if it was told nothing, or that it is gone.
    pub sent: Option<Box<str>>,
    /// The version that the client accepted last.
    pub acked: Option<Box<str>>,
    /// The content that the client was told last. What it has from before its stream is not known.
    pub content: Option<Arc<Resource>>,
}

/// How one resource of one client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldingState {
    /// There is no such resource.
    Missing,
    /// It was not sent yet.
    NotSent,
    /// It was sent, and not answered yet.
    Sent,
    /// The client accepted what it is meant to have.
    Acked,
    /// The client accepted something older, and was told nothing since: what is newer has to wait.
    Behind,
    /// The client refused the response that held it.
    Refused,
}

/// What a client holds of everything that it wants, by kind.
pub(super) fn holdings(
    watches: &BTreeMap<Kind, Watch>,
    snapshot: &FleetSnapshot,
) -> BTreeMap<Kind, Vec<Holding>> {
    let of_kind = |(kind, watch): (&Kind, &Watch)| {
        let collection = snapshot.collection(*kind);
        let names = watch.names(collection).into_iter();
        (*kind, names.map(|name| holding(name, watch, collection)).collect())
    };
    watches.iter().map(of_kind).collect()
}

fn holding(name: &Name, watch: &Watch, collection: &Collection) -> Holding {
    let entry = watch.entries.get(name);
    let wanted = collection.get(name).map(|resource| resource.version());
    let sent = entry.and_then(Entry::version);
    let state = match entry {
        Some(entry) if entry.is_refused() => HoldingState::Refused,
        Some(entry) if entry.is_pending() => HoldingState::Sent,
        _ if wanted.is_none() && sent.is_none() => HoldingState::Missing,
        _ if sent.is_none() => HoldingState::NotSent,
        _ if sent == wanted => HoldingState::Acked,
        _ => HoldingState::Behind,
    };
    Holding {
        name: Arc::clone(name),
        state,
        sent: sent.map(Into::into),
        acked: entry.and_then(Entry::accepted_version).map(Into::into),
        content: entry.and_then(Entry::content).cloned(),
    }
}
