//! Paths of the programs under test: from environment variables, or from `make build`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The control plane: `TIDEGATE_BIN`, else `dist/`, else `target/`.
///
/// # Errors
/// If there is none.
pub fn tidegate() -> Result<PathBuf> {
    built("TIDEGATE_BIN", &["dist/tidegate", "target/release/tidegate", "target/debug/tidegate"])
}

/// The filter: `TIDEGATE_FILTER_WASM`, else `dist/`.
///
/// # Errors
/// If there is none.
pub fn filter() -> Result<PathBuf> {
    built("TIDEGATE_FILTER_WASM", &["dist/tidegate_filter.wasm"])
}

/// Envoy: `TIDEGATE_ENVOY`, else by `envoy/get-envoy`.
///
/// # Errors
/// If there is none. The error contains the fix.
pub fn envoy() -> Result<PathBuf> {
    match env::var_os("TIDEGATE_ENVOY") {
        Some(named) => Ok(named.into()),
        None => get_envoy(&[]),
    }
}

/// Envoy of one version.
///
/// # Errors
/// If it cannot be downloaded. The error contains the fix.
pub fn envoy_version(version: &str) -> Result<PathBuf> {
    get_envoy(&["--version", version])
}

fn get_envoy(args: &[&str]) -> Result<PathBuf> {
    let mut script = Command::new(root().join("envoy/get-envoy"));
    script.args(args);
    printed_path(script)
}

/// BIND's `named`, by `tests/get-named`.
///
/// # Errors
/// If there is none. The error contains the fix.
pub fn named() -> Result<PathBuf> {
    printed_path(Command::new(root().join("tests/get-named")))
}

/// The path that a script prints.
fn printed_path(mut script: Command) -> Result<PathBuf> {
    let name = script.get_program().to_string_lossy().into_owned();
    let found = script.output().with_context(|| format!("cannot run {name}"))?;
    if !found.status.success() {
        bail!("{}", String::from_utf8_lossy(&found.stderr));
    }
    Ok(String::from_utf8(found.stdout)?.trim_end().into())
}

/// Root of the repository.
fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

fn built(variable: &str, places: &[&str]) -> Result<PathBuf> {
    if let Some(named) = env::var_os(variable) {
        return Ok(named.into());
    }
    let found = places.iter().map(|place| root().join(place)).find(|path| path.is_file());
    found.with_context(|| {
        format!("there is no {}: run `make build`, or set {variable}", places.join(", nor "))
    })
}
