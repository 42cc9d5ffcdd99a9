//! Reads the configuration file, checks it and completes it with defaults.
//!
//! `raw` is the shape of the file, `parse` reads it, `resolve` turns it into a [`Config`]. All errors
//! are collected, each with its position and a suggested fix.

mod parse;
mod places;
mod preview_key;
mod problem;
mod raw;
mod resolve;
mod span;
pub(crate) mod tree;
mod units;
mod unknown_keys;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

pub use places::{Located, locate};
pub use preview_key::{load as existing_preview_key, load_or_create as preview_key};
pub use problem::{Fault, LoadError, Problem};
pub use span::Span;
pub use units::endpoint;

use self::span::Spanned;
use crate::auth::access::FleetIdentities;
use crate::files::{MAX_BYTES, read_text};
use crate::notifications::{NotificationLevel, PayloadFormat};
use crate::transport::tls::TlsFiles;
use tidegate_delivery::model::catalogue::ServiceSpec;
use tidegate_delivery::model::freeze::FreezeWindow;
use tidegate_delivery::model::hook::SecretRef;
use tidegate_delivery::model::istio::IstioTarget;
use tidegate_delivery::model::plan::Plan;
use tidegate_delivery::names::{ReceiverName, Services};
use tidegate_xds::mesh::Mesh;

/// Reads and checks a configuration file.
///
/// # Errors
/// When the file cannot be read, or with all errors in it.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let text = read_text(path, MAX_BYTES)?;
    let base = path.parent().unwrap_or(Path::new(""));
    check(&text, base).map_err(|problems| LoadError::Invalid {
        path: path.to_owned(),
        text,
        problems,
    })
}

/// Checks the text of a configuration. Relative paths in it are resolved against `base`.
///
/// # Errors
/// With all errors in the values, or, if the keys do not match the schema, with all unknown keys.
pub fn check(text: &str, base: &Path) -> Result<Config, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root: raw::Root = parse::parse(text)?;
    let config = resolve::resolve(&root, base)?;
    Ok(Config { hash: hash(text), ..config })
}

/// SHA-256 of a text in hexadecimal.
#[must_use]
pub fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// Reads the plan of a release from JSON, in the grammar of `strategy`.
///
/// # Errors
/// As [`check`].
pub fn plan(strategy: &serde_json::Value) -> Result<Plan, Vec<Problem>> {
    // JSON is a subset of YAML.
    let strategy: raw::Strategy = parse::parse(&strategy.to_string())?;
    resolve::plan(&strategy)
}

/// Reads the target of a version in Istio from JSON, in the grammar of `istio` of a version.
///
/// # Errors
/// As [`check`].
pub fn istio_target(
    version: &str,
    target: &serde_json::Value,
) -> Result<IstioTarget, Vec<Problem>> {
    let target: Spanned<raw::IstioTarget> = parse::parse(&target.to_string())?;
    resolve::istio_target(version, &target)
}

/// The JSON Schema of the configuration file.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(raw::Root)
}

/// A valid configuration, completed with defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The [`hash()`] of its text.
    pub hash: String,
    /// The ports.
    pub listen: Listen,
    /// Directory of the journal.
    pub data_dir: PathBuf,
    /// Fleets, listeners and the path of the filter.
    pub mesh: Mesh,
    /// SPIFFE identities that each fleet admits; empty with [`Security::Plaintext`].
    pub identities: FleetIdentities,
    /// The services.
    pub services: Vec<ServiceSpec>,
    /// Calendar windows that block deployments.
    pub freeze_windows: Vec<FreezeWindow>,
    /// Receivers of notifications.
    pub notifications: Vec<Receiver>,
    /// Initial flags: a valid document in flagd's format.
    pub flags: Option<serde_json::Value>,
}

impl Config {
    /// The keys whose values differ from `other` and cannot change while the server runs.
    #[must_use]
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let (old, new) = (&self.listen, &other.listen);
        [
            ("listen.xds", old.xds == new.xds),
            ("listen.tls", old.security == new.security),
            ("listen.api", old.api == new.api),
            ("data_dir", self.data_dir == other.data_dir),
        ]
        .into_iter()
        .filter_map(|(key, same)| (!same).then_some(key))
        .collect()
    }
}

/// The ports of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// xDS and reports.
    pub xds: SocketAddr,
    /// How `xds` authenticates sidecars.
    pub security: Security,
    /// REST and metrics.
    pub api: SocketAddr,
}

/// How the port for xDS and reports authenticates sidecars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// No authentication: on loopback, or with `insecure_plaintext: true`.
    Plaintext,
    /// Client certificates.
    MutualTls(TlsFiles),
}

/// A receiver of notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Unique name.
    pub name: ReceiverName,
    /// Format of the messages.
    pub format: PayloadFormat,
    /// Destination.
    pub url: ReceiverUrl,
    /// Signing key of the messages.
    pub secret: Option<SecretRef>,
    /// Bearer token; PagerDuty's routing key.
    pub token: Option<SecretRef>,
    /// Least level that is sent.
    pub level: NotificationLevel,
    /// Services whose notifications are sent.
    pub services: Services,
    /// Template of the text, instead of the default text.
    pub template: Option<String>,
    /// Interval in which a repeated alert is not sent again.
    pub quiet: Duration,
}

/// Destination of notifications. The URL of an incoming webhook may itself be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiverUrl {
    /// A URL in the configuration.
    Plain(String),
    /// A URL in a file or environment variable, read for each delivery.
    Secret(SecretRef),
}
