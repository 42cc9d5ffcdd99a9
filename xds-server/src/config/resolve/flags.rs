//! The file of flags to start with.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_core::flags::FlagSet;

use crate::config::place::At;
use crate::config::problem::{Fault, Problems};
use crate::config::suggest::suggest;
use crate::config::{MAX_BYTES, raw};
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
    let text = text(path).map_err(|error| {
        Fault::new(
            format!("cannot read the flags in {shown}: {error}"),
            "the path is relative to this file; to start without flags remove the line",
        )
    })?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Fault::new(
            format!("{shown} is larger than {MAX_BYTES} bytes"),
            "is it the right file?",
        ));
    }
    let document: Value = serde_json::from_str(&text).map_err(|error| {
        Fault::new(
            format!("{shown}:{}:{} is not JSON: {error}", error.line(), error.column()),
            "correct it there",
        )
    })?;
    let flags = flags::check(&document)
        .map_err(|error| Fault::new(format!("{shown}: {error}"), "correct it there"))?;
    Ok((document, flags))
}

/// A configuration may come over the network: what it names must be a file that ends.
fn text(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = String::new();
    // One byte more than allowed: enough to know.
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    Ok(text)
}
