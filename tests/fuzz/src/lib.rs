//! Everything that reads bytes from the network, as functions of bytes: for the fuzzer, and for the
//! test that replays what the fuzzer kept. Each function checks more than that nothing panics:
//! what a session says can be read again, what was counted is counted once, no request is answered
//! with an error of the server's own.
#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a finding is told")]

mod config;
mod filter;
mod flags;
mod report;
mod rest;
mod world;
mod xds;

/// One reader of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its directory under `corpus/`.
    pub name: &'static str,
    /// Reads them.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "xds_sotw", run: xds::sotw },
    Target { name: "xds_delta", run: xds::delta },
    Target { name: "report", run: report::report },
    Target { name: "rest", run: rest::rest },
    Target { name: "config", run: config::config },
    Target { name: "flags", run: flags::flags },
    Target { name: "filter_config", run: filter::config },
    Target { name: "filter_request", run: filter::request },
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
