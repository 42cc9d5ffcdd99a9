//! The proxy around a VM: its clock, its requests, its log, and its ways to refuse a call.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Finish};

/// What a host call answers.
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
    /// Every status that is no success.
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

/// The part of a request's life that the VM is called for: header maps exist only in theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No request: configuration, tick, gRPC answer.
    None,
    /// Request headers are readable and writable.
    RequestHeaders,
    /// Response headers are; request headers are gone.
    ResponseHeaders,
    /// All headers are readable, none writable, and the outcome is known.
    Log,
}

/// A call that is to fail, whatever it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// Name of the import.
    pub(crate) function: &'static str,
    /// What it answers.
    pub(crate) status: Status,
}

/// A line of the proxy's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// 0 trace … 5 critical.
    pub(crate) level: u32,
    /// What was said.
    pub(crate) text: String,
}

/// Everything outside a VM.
#[derive(Debug)]
pub(crate) struct World {
    /// The plugin configuration.
    pub(crate) configuration: String,
    /// The current phase.
    pub(crate) phase: Phase,
    /// Headers of the current request.
    pub(crate) request_headers: Vec<(String, Vec<u8>)>,
    /// Headers of the current response.
    pub(crate) response_headers: Vec<(String, Vec<u8>)>,
    /// Trailers of the current response.
    pub(crate) response_trailers: Vec<(String, Vec<u8>)>,
    /// Properties, by their paths joined by dots.
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    /// Names of the clusters that gRPC calls may go to.
    pub(crate) clusters: BTreeSet<String>,
    /// gRPC calls not taken by the test yet.
    pub(crate) calls: Vec<Call>,
    /// The message that answers a gRPC call.
    pub(crate) grpc_message: Vec<u8>,
    /// The proxy's log.
    pub(crate) logs: Vec<LogLine>,
    /// The tick period asked for last, in milliseconds.
    pub(crate) tick_period: Option<u32>,
    /// The call that is to fail.
    pub(crate) fault: Option<Fault>,
    /// How often each host function was called.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    now_nanos: u64,
    random: u64,
    next_token: u32,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            configuration: String::new(),
            phase: Phase::None,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            response_trailers: Vec::new(),
            properties: BTreeMap::new(),
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

    /// Lets time pass.
    pub(crate) const fn pass(&mut self, millis: u64) {
        self.now_nanos += millis * 1_000_000;
    }

    /// Takes the gRPC calls made since the last time.
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

    /// `SplitMix64`: enough to tell the VMs of a test apart, and the same in every run.
    pub(super) const fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn finish(&mut self, finish: &Finish) {
        if finish.code == 0 {
            self.response_headers.clear();
        }
        self.response_headers.extend(finish.answer.iter().cloned());
        self.response_trailers.clone_from(&finish.trailers);
        let mut set = |name: &str, value: Option<Vec<u8>>| match value {
            Some(value) => {
                self.properties.insert(name.to_owned(), value);
            }
            None => {
                self.properties.remove(name);
            }
        };
        let number = |value: u64| Some(value.to_le_bytes().to_vec());
        let code = (finish.code != 0).then_some(finish.code);
        set("response.code", code.and_then(number));
        set("response.flags", number(finish.flags));
        set("response.grpc_status", finish.grpc_status.and_then(number));
        set("request.duration", number(finish.millis * 1_000_000));
        let cluster = finish.cluster.as_ref().map(|name| name.clone().into_bytes());
        set("xds.cluster_name", cluster);
    }

    /// A property, if the current phase knows it.
    pub(super) fn property(&self, path: &[u8]) -> Option<&[u8]> {
        let path = String::from_utf8_lossy(path).replace('\0', ".");
        let of_the_end = path.starts_with("response.") || path == "request.duration";
        if of_the_end && self.phase != Phase::Log {
            return None;
        }
        self.properties.get(&path).map(Vec::as_slice)
    }
}
