//! State of the host: clock, current request, log, gRPC calls and the injected fault.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Completion};

/// Result of a host call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

impl Status {
    /// All statuses except `Ok`.
    pub(crate) const FAILURES: [Self; 8] = [
        Self::NotFound,
        Self::BadArgument,
        Self::SerializationFailure,
        Self::ParseFailure,
        Self::Empty,
        Self::CasMismatch,
        Self::InternalFailure,
        Self::Unimplemented,
    ];
}

/// Phase of the current callback. Header maps are available only in their phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No request: configuration, tick, gRPC response.
    None,
    /// Request headers are readable and writable.
    RequestHeaders,
    /// Only response headers are readable and writable.
    ResponseHeaders,
    /// All headers and attributes are readable, none is writable.
    Log,
}

/// A host call that always fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Name of the import.
    pub(crate) function: &'static str,
    pub(crate) status: Status,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// 0 trace … 5 critical.
    pub(crate) level: u32,
    pub(crate) text: String,
}

/// State of the host around one VM.
#[derive(Debug)]
pub(crate) struct HostState {
    /// Plugin configuration.
    pub(crate) configuration: String,
    pub(crate) phase: Phase,
    /// Headers of the current request.
    pub(crate) request_headers: Vec<(String, Vec<u8>)>,
    pub(crate) response_headers: Vec<(String, Vec<u8>)>,
    pub(crate) response_trailers: Vec<(String, Vec<u8>)>,
    /// Attributes, by paths joined with dots.
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    /// The existing contexts; of a request, the cluster of its route.
    pub(super) contexts: BTreeMap<u32, Option<String>>,
    /// The context that host calls refer to, if it is not that of the callback.
    pub(super) effective_context: Option<u32>,
    /// Clusters that gRPC calls can reach.
    pub(crate) clusters: BTreeSet<String>,
    /// gRPC calls that the test has not taken yet.
    pub(crate) calls: Vec<Call>,
    /// Response message of the current gRPC callback.
    pub(crate) grpc_message: Vec<u8>,
    pub(crate) logs: Vec<LogLine>,
    /// Tick period in milliseconds.
    pub(crate) tick_period: Option<u32>,
    pub(crate) fault: Option<Fault>,
    /// Number of calls by host function.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    now_nanos: u64,
    random: u64,
    next_token: u32,
}

impl HostState {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            configuration: String::new(),
            phase: Phase::None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            response_trailers: Vec::new(),
            properties: BTreeMap::new(),
            contexts: BTreeMap::new(),
            effective_context: None,
            clusters: BTreeSet::from(["tidegate".to_owned()]),
            calls: Vec::new(),
            grpc_message: Vec::new(),
            logs: Vec::new(),
            tick_period: None,
            fault: None,
            counts: BTreeMap::new(),
            now_nanos: 1_700_000_000_000_000_000,
            random: seed,
            next_token: 1,
        }
    }

    /// As in Envoy, a context that does not exist is refused.
    pub(super) fn set_effective_context(&mut self, context: u32) -> Status {
        if !self.contexts.contains_key(&context) {
            return Status::BadArgument;
        }
        self.effective_context = Some(context);
        Status::Ok
    }

    /// Whether host calls refer to a request.
    pub(super) fn is_in_request(&self) -> bool {
        let cluster = |context| self.contexts.get(&context).is_some_and(Option::is_some);
        self.effective_context.is_some_and(cluster)
    }

    /// Advances the clock.
    pub(crate) const fn advance(&mut self, millis: u64) {
        self.now_nanos += millis * 1_000_000;
    }

    /// Takes the gRPC calls since the last take.
    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    pub(super) const fn now_nanos(&self) -> u64 {
        self.now_nanos
    }

    pub(super) const fn next_token(&mut self) -> u32 {
        self.next_token += 1;
        self.next_token
    }

    /// `SplitMix64`: deterministic, and different for VMs with different seeds.
    pub(super) const fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn complete(&mut self, completion: &Completion) {
        if completion.code == 0 {
            self.response_headers.clear();
        }
        self.response_headers.extend(completion.response_headers.iter().cloned());
        self.response_trailers.clone_from(&completion.trailers);
        let mut set = |name: &str, value: Option<Vec<u8>>| match value {
            Some(value) => {
                self.properties.insert(name.to_owned(), value);
            }
            None => {
                self.properties.remove(name);
            }
        };
        let number = |value: u64| Some(value.to_le_bytes().to_vec());
        let code = (completion.code != 0).then_some(completion.code);
        set("response.code", code.and_then(number));
        set("response.flags", number(completion.flags));
        let details = completion.details.unwrap_or("via_upstream");
        set("response.code_details", code.map(|_| details.as_bytes().to_vec()));
        let cluster = completion.cluster.as_ref().map(|name| name.clone().into_bytes());
        set("xds.cluster_name", cluster);
    }

    /// An attribute, if it is available in the current phase.
    pub(super) fn property(&self, path: &[u8]) -> Option<&[u8]> {
        let path = String::from_utf8_lossy(path).replace('\0', ".");
        if path == "xds.cluster_name"
            && let Some(context) = self.effective_context
        {
            return self.contexts.get(&context)?.as_deref().map(str::as_bytes);
        }
        let final_only = path.starts_with("response.");
        if final_only && self.phase != Phase::Log {
            return None;
        }
        self.properties.get(&path).map(Vec::as_slice)
    }
}
