//! Where the programs under test are. Each can be named by an environment variable; else it is what `make build` left.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The control plane: `TIDEGATE_BIN`, else `dist/`, else cargo's own output.
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

/// Envoy: `TIDEGATE_ENVOY`, else what `envoy/get-envoy` finds or fetches.
///
/// # Errors
/// If it finds none; the error says what to do about it.
pub fn envoy() -> Result<PathBuf> {
    match env::var_os("TIDEGATE_ENVOY") {
        Some(named) => Ok(named.into()),
        None => get_envoy(&[]),
    }
}

/// Envoy in exactly this version.
///
/// # Errors
/// If it cannot be fetched; the error says what to do about it.
pub fn envoy_version(version: &str) -> Result<PathBuf> {
    get_envoy(&["--version", version])
}

fn get_envoy(args: &[&str]) -> Result<PathBuf> {
    let mut script = Command::new(root().join("envoy/get-envoy"));
    script.args(args);
    printed(script)
}

/// BIND's `named`: what `tests/get-named` finds or fetches.
///
/// # Errors
/// If it finds none; the error says what to do about it.
pub fn named() -> Result<PathBuf> {
    printed(Command::new(root().join("tests/get-named")))
}

/// The path that a script prints.
fn printed(mut script: Command) -> Result<PathBuf> {
    let name = script.get_program().to_string_lossy().into_owned();
    let found = script.output().with_context(|| format!("cannot run {name}"))?;
    if !found.status.success() {
        bail!("{}", String::from_utf8_lossy(&found.stderr));
    }
    Ok(String::from_utf8(found.stdout)?.trim_end().into())
}

/// The repository.
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
