//! The file of flags to start with.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_core::flags::FlagSet;

use crate::config::place::At;
use crate::config::problem::{Fault, Problems};
use crate::config::suggest::suggest;
use crate::config::{MAX_BYTES, raw, read_text};
use crate::flags;

/// The flags' document, checked; its routing flags lead to services that exist.
pub(super) fn resolve(
    path: &At<PathBuf>,
    base: &Path,
    services: &At<Vec<raw::Service>>,
    problems: &mut Problems,
) -> Option<Value> {
    let (document, flags) = problems.take(path.place(), read(&base.join(path.get())))?;
    let known = || services.get().iter().map(|service| service.name.get().as_str());
    for (key, service) in flags::routing(&flags) {
        if !known().any(|name| name == service) {
            problems.add(
                path.place(),
                format!("flag `{key}` routes service `{service}`, which is not there"),
                suggest(service, known()),
            );
        }
    }
    Some(document)
}

fn read(path: &Path) -> Result<(Value, FlagSet), Fault> {
    let shown = path.display();
    let text = read_text(path, MAX_BYTES).map_err(|error| {
        Fault::new(
            format!("flags: {error}"),
            "the path is relative to this file; remove the line to start without flags",
        )
    })?;
    let fix = "correct that file";
    let document: Value = serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Fault::new(format!("{shown}:{line}:{column} is not JSON: {error}"), fix)
    })?;
    let flags =
        flags::check(&document).map_err(|error| Fault::new(format!("{shown}: {error}"), fix))?;
    Ok((document, flags))
}
