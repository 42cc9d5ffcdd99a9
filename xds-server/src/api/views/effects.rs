//! Hook calls and DNS. Secrets are not part of the views.

use serde::{Deserialize, Serialize};

use tidegate_delivery::model::dns::RecordSet;
use tidegate_delivery::model::hook::{Call, CallState, Moment};
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::HookName;
use tidegate_delivery::units::{Timestamp, rfc3339};

/// One hook call of a release, delivered or pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCall {
    pub name: HookName,
    /// The transition that it is called for.
    pub on: Moment,
    /// Whether the release waits for it.
    pub blocking: bool,
    /// The idempotency key of its calls.
    pub key: String,
    pub state: HookState,
    /// The number of attempts, once it has ended.
    pub attempts: Option<u32>,
    /// The last error, if it failed.
    pub error: Option<String>,
    /// When the state began.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// The state of a hook call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    Pending,
    Succeeded,
    /// All attempts failed.
    Failed,
}

impl From<&Call> for HookCall {
    fn from(call: &Call) -> Self {
        let (state, attempts, error, since) = match &call.end {
            CallState::Due => (HookState::Pending, None, None, call.at),
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

/// The DNS name of the active environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsView {
    pub name: String,
    /// The records to publish; absent if there are none.
    pub desired: Option<RecordSet>,
    /// The records that the DNS server answered with when they were last as desired.
    pub published: Option<RecordSet>,
    #[serde(default, with = "rfc3339::option")]
    pub published_at: Option<Timestamp>,
    /// The error of the last update, if it failed.
    pub error: Option<String>,
}

impl DnsView {
    pub(super) fn of(service: &ServiceState) -> Option<Self> {
        let published = service.dns.published.as_ref();
        Some(Self {
            name: service.spec.dns.as_ref()?.name.clone(),
            desired: service.desired_records(),
            published: published.map(|it| it.records.clone()),
            published_at: published.map(|it| it.at),
            error: service.dns.error.clone(),
        })
    }
}
