//! Fuzz targets of the parsers of external input, for the fuzzer and for the test that replays its corpus.
//!
//! Beside panics, each target checks a property: responses of a session can be decoded, a report is counted once, and no
//! REST request is answered with a server error.
#![allow(clippy::expect_used, clippy::panic, reason = "a panic is the result of a failed check")]

mod documents;
mod filter;
mod rest;
mod world;
mod xds;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and the name of its directory in `corpus/`.
    pub name: &'static str,
    /// Processes one input. Panics if a check fails.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 8] = [
    Target { name: "xds_sotw", run: xds::sotw },
    Target { name: "xds_delta", run: xds::delta },
    Target { name: "report", run: documents::report },
    Target { name: "rest", run: rest::rest },
    Target { name: "config", run: documents::config },
    Target { name: "flags", run: documents::flags },
    Target { name: "filter_config", run: filter::config },
    Target { name: "filter_request", run: filter::request },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
