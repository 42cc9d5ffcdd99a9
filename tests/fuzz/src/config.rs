//! The configuration file.

use std::path::Path;

/// Checks a configuration; every mistake has a message.
pub(crate) fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // It may name a file of flags, and some files never end.
    if text.contains("flags") {
        return;
    }
    if let Err(problems) = tidegate::config::check(text, Path::new("")) {
        assert!(!problems.is_empty(), "refused without a reason");
    }
}
