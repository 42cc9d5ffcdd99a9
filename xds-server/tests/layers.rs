//! The import direction between the modules of the server, checked as in the delivery crate: no two folders import each
//! other.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

#[path = "../delivery/tests/layers/imports.rs"]
mod imports;

use std::path::Path;

/// Each module, and the modules below that it may import. `cli` and `wiring` belong to the binary.
const LAYERS: [(&str, &[&str]); 21] = [
    ("clock", &[]),
    ("files", &[]),
    ("flags", &[]),
    ("journal", &[]),
    ("metrics", &[]),
    ("rejections", &[]),
    ("root_cause", &[]),
    ("auth", &["rejections"]),
    ("notifications", &["journal"]),
    ("transport", &["files", "rejections", "auth"]),
    ("config", &["files", "flags", "auth", "notifications", "transport"]),
    ("xds", &["clock", "rejections", "auth", "transport"]),
    ("telemetry", &["clock", "rejections", "auth", "xds"]),
    ("controller", &["clock", "journal", "telemetry"]),
    ("istio", &["files", "root_cause", "config", "xds", "controller"]),
    (
        "effects",
        &["clock", "files", "journal", "root_cause", "notifications", "config", "controller"],
    ),
    ("sidecars", &["clock", "xds", "telemetry", "controller"]),
    ("reload", &["clock", "files", "auth", "istio", "config", "controller", "effects"]),
    ("api", &["flags", "journal", "metrics", "config", "xds", "telemetry", "controller", "reload"]),
    (
        "wiring",
        &[
            "clock",
            "journal",
            "metrics",
            "istio",
            "rejections",
            "auth",
            "transport",
            "config",
            "xds",
            "telemetry",
            "controller",
            "effects",
            "sidecars",
            "reload",
            "api",
        ],
    ),
    (
        "cli",
        &["clock", "files", "root_cause", "journal", "istio", "config", "xds", "api", "wiring"],
    ),
];

/// Files that are compiled for tests only.
fn is_test(path: &Path) -> bool {
    let is_test = |part: &std::ffi::OsStr| {
        let name = part.to_string_lossy();
        name == "tests" || name == "fakes.rs" || name.ends_with("tests.rs")
    };
    path.iter().any(is_test)
}

#[test]
fn modules_import_only_the_modules_below() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    imports::check(&source, &LAYERS, is_test);
}
