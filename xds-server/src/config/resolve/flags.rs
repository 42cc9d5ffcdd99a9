//! The file with the initial flags.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_core::flags::FlagSet;

use crate::config::problem::{Fault, Problems, suggest};
use crate::config::raw;
use crate::config::span::Spanned;
use crate::files::{MAX_BYTES, read_text};
use crate::flags;

/// The document, if it is valid and its routing flags name existing services.
pub(super) fn resolve(
    path: &Spanned<PathBuf>,
    base: &Path,
    services: &Spanned<Vec<raw::Service>>,
    problems: &mut Problems,
) -> Option<Value> {
    let (document, flags) = problems.record(path.span(), read(&base.join(path.get())))?;
    let known = || services.get().iter().map(|service| service.name.get().as_str());
    for (key, service) in flags::routing(&flags) {
        if !known().any(|name| name == service) {
            problems.add(
                path.span(),
                format!("flag `{key}` routes service `{service}`, which does not exist"),
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
