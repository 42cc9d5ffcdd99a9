//! The import direction inside the crate. [`LAYERS`] is the complete list of what each module may import; ARCHITECTURE.md
//! describes it. The test reads the `crate::…` paths of every source file, without its unit tests.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

mod imports;

use std::path::Path;

/// Each module, and the modules below that it may import.
const LAYERS: [(&str, &[&str]); 10] = [
    ("units", &[]),
    ("names", &[]),
    ("judge", &["units", "names"]),
    ("model", &["units", "names", "judge"]),
    ("text", &["units", "names", "judge", "model"]),
    ("fold", &["units", "names", "judge", "model"]),
    ("figures", &["units", "names", "judge", "model"]),
    ("changes", &["units", "names", "model"]),
    ("reducer", &["units", "names", "judge", "model", "fold", "changes"]),
    ("fixtures", &["units", "names", "judge", "model", "fold", "reducer"]),
];

/// Files that are compiled for tests only.
fn is_test(path: &Path) -> bool {
    let tests = |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs";
    path.iter().any(tests) || path.starts_with("reducer/model") || path == "reducer/model.rs"
}

#[test]
fn modules_import_only_the_layers_below() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    imports::check(&source, &LAYERS, is_test);
}
