//! What a release does beside traffic, as an operator sees it. Of secrets not even the place is shown.

use serde::{Deserialize, Serialize};

use tidegate_delivery::model::dns::RecordSet;
use tidegate_delivery::model::hook::{Call, CallState, Moment};
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::HookName;
use tidegate_delivery::units::Timestamp;

/// One hook call of a release, delivered or pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCall {
    /// The hook.
    pub name: HookName,
    /// The transition that it is called for.
    pub on: Moment,
    /// Whether the release waits for it.
    pub blocking: bool,
    /// The idempotency key of its calls.
    pub key: String,
    /// What became of it.
    pub state: HookState,
    /// How often it was tried, once it is over.
    pub attempts: Option<u32>,
    /// What went wrong, if it failed.
    pub error: Option<String>,
    /// When it became so, in milliseconds since the Unix epoch.
    pub since: Timestamp,
}

/// What became of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// Not yet delivered.
    Due,
    /// Delivered.
    Succeeded,
    /// It was given up.
    Failed,
}

impl From<&Call> for HookCall {
    fn from(call: &Call) -> Self {
        let (state, attempts, error, since) = match &call.end {
            CallState::Due => (HookState::Due, None, None, call.at),
            CallState::Succeeded { at, attempts } => {
                (HookState::Succeeded, Some(*attempts), None, *at)
            }
            CallState::Failed { at, attempts, error } => {
                (HookState::Failed, Some(*attempts), Some(error.clone()), *at)
            }
        };
        let (name, on, blocking) = (call.hook.name.clone(), call.hook.on, call.hook.blocking);
        Self { name, on, blocking, key: call.key(), state, attempts, error, since }
    }
}

/// A name that follows the active environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsView {
    /// The name.
    pub name: String,
    /// What it should lead to; absent if nothing can be published.
    pub wanted: Option<RecordSet>,
    /// What the server was last seen to answer, as it should.
    pub published: Option<RecordSet>,
    /// When that was, in milliseconds since the Unix epoch.
    pub published_at: Option<Timestamp>,
    /// Why it does not follow, if the last attempt failed.
    pub error: Option<String>,
}

impl DnsView {
    pub(super) fn of(service: &ServiceState) -> Option<Self> {
        let published = service.dns.published.as_ref();
        Some(Self {
            name: service.spec.dns.as_ref()?.name.clone(),
            wanted: service.desired_records(),
            published: published.map(|it| it.records.clone()),
            published_at: published.map(|it| it.at),
            error: service.dns.error.clone(),
        })
    }
}
