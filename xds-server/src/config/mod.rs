//! The configuration: one typed tree, in its resolved form, and the one pass that makes it.
//!
//! `raw` is the file's shape, `parse` reads it, `resolve` checks and completes it.

mod change;
mod parse;
mod place;
mod preview_key;
mod problem;
mod raw;
mod resolve;
mod suggest;
mod units;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

pub use place::Place;
pub use preview_key::load_or_create as preview_key;
pub use problem::{Fault, LoadError, Problem};
pub use units::endpoint;

use crate::door::access::Fleets as Identities;
use crate::door::tls::files::TlsFiles;
use crate::notifications::NotificationLevel;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::freeze::FreezeWindow;
use tidegate_delivery::model::hook::SecretRef;
use tidegate_delivery::model::plan::Plan;
use tidegate_delivery::names::{ReceiverName, Services};
use tidegate_delivery::units::Ppm;
use tidegate_xds::mesh::Mesh;

/// Largest file that is read, in bytes: a thousand services take less.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Reads and checks a configuration file.
///
/// # Errors
/// When the file cannot be read, or with everything that is wrong in it.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let text = read(path)?;
    let base = path.parent().unwrap_or(Path::new(""));
    check(&text, base).map_err(|problems| LoadError::Invalid {
        path: path.to_owned(),
        text,
        problems,
    })
}

/// Checks the text of a configuration, whose paths are relative to `base`.
///
/// # Errors
/// With everything that is wrong: what the file's shape lets be read is checked to the end.
pub fn check(text: &str, base: &Path) -> Result<Config, Vec<Problem>> {
    let root: raw::Root = parse::parse(text).map_err(|problem| vec![problem])?;
    let config = resolve::resolve(&root, base)?;
    Ok(Config { hash: hash(text), ..config })
}

/// What names a text: its SHA-256, in hexadecimal.
#[must_use]
pub fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// Reads a plan that a release brings along, in the grammar of a service's `strategy`, from JSON.
///
/// # Errors
/// With everything that is wrong.
pub fn plan(strategy: &serde_json::Value) -> Result<Plan, Vec<Problem>> {
    // JSON is YAML: one grammar, one reader.
    let strategy: raw::Strategy =
        parse::parse(&strategy.to_string()).map_err(|problem| vec![problem])?;
    resolve::plan(&strategy)
}

/// The JSON Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(raw::Root)
}

/// Reads the text of a configuration file, whatever it says.
///
/// # Errors
/// When the file cannot be read, or is too large.
pub fn read(path: &Path) -> Result<String, LoadError> {
    let fail = |source| LoadError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(fail)?;
    // One byte more than allowed: enough to know.
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

/// Everything that `tidegate serve` was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What names its text, see [`hash()`].
    pub hash: String,
    /// Where to listen.
    pub listen: Listen,
    /// Where the journal lives.
    pub data_dir: PathBuf,
    /// The fleets and what goes into their resources.
    pub mesh: Mesh,
    /// The SPIFFE identities that each fleet admits; empty with [`Security::Plaintext`].
    pub identities: Identities,
    /// The services, defaults filled in.
    pub services: Vec<ServiceSpec>,
    /// The times in which nothing goes forward.
    pub freeze_windows: Vec<FreezeWindow>,
    /// The bound on P(rolling back a release that is no worse), kept for the sequential judge.
    pub false_rollback: Ppm,
    /// Who is told about releases.
    pub notifications: Vec<Receiver>,
    /// Flags to start with, in flagd's format, already checked.
    pub flags: Option<serde_json::Value>,
}

/// Where the control plane listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// xDS and reports.
    pub xds: SocketAddr,
    /// How sidecars are known there.
    pub security: Security,
    /// REST and metrics.
    pub api: SocketAddr,
}

/// How the port for xDS and reports knows who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Not at all: for loopback, or asked for by name.
    Plaintext,
    /// By their certificates.
    MutualTls(TlsFiles),
}

/// Somebody who is told about releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its name, unique.
    pub name: ReceiverName,
    /// How it is spoken to.
    pub kind: ReceiverKind,
    /// Where it is.
    pub url: ReceiverUrl,
    /// What messages are signed with.
    pub secret: Option<SecretRef>,
    /// It is told of nothing below this.
    pub level: NotificationLevel,
    /// The services that it is told of.
    pub services: Services,
    /// Its messages' text, instead of the usual one.
    pub template: Option<String>,
    /// For so long the same alert is not told again.
    pub quiet: Duration,
}

/// How a receiver is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverKind {
    /// With all that is known, as JSON.
    Webhook,
    /// As Slack's incoming webhooks want it, and whoever speaks like them.
    Slack,
}

/// Where a receiver is. To some, whoever knows the address may write: that is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiverUrl {
    /// Here.
    Plain(String),
    /// To be read when it is needed.
    Secret(SecretRef),
}
