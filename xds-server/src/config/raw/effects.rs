//! What releases do beside traffic, as it is written: hooks, DNS, notifications.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::place::At;

/// Somebody whom a service's releases tell, by `POST`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hook {
    /// Its name.
    pub(in crate::config) name: At<String>,
    /// When it is told.
    pub(in crate::config) on: Moment,
    /// `http://` or `https://`.
    pub(in crate::config) url: At<String>,
    /// How long one answer may take. Default: `10s`.
    pub(in crate::config) timeout: Option<At<String>>,
    /// How often it is tried again. Default: 5.
    pub(in crate::config) retries: Option<At<u32>>,
    /// The environment variable that holds what calls are signed with.
    pub(in crate::config) secret_env: Option<At<String>>,
    /// The file that holds it, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) secret_file: Option<At<PathBuf>>,
    /// Whether the release waits until it was told. Default: no.
    #[serde(default)]
    pub(in crate::config) blocking: bool,
}

/// When a hook is told.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Moment {
    /// A release began, at 0 %.
    Started,
    /// The candidate has all of the traffic.
    Switched,
    /// The candidate is the stable version.
    Completed,
    /// Everything is back on the version before.
    RolledBack,
}

/// A DNS name whose records follow the active environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Dns {
    /// The zone that is updated.
    pub(in crate::config) zone: At<String>,
    /// The name whose records follow, in the zone.
    pub(in crate::config) name: At<String>,
    /// `IP:PORT` of the zone's primary server.
    pub(in crate::config) server: At<String>,
    /// How long others may keep an answer. Default: `30s`.
    pub(in crate::config) ttl: Option<At<String>>,
    /// What updates are signed with.
    pub(in crate::config) tsig: Option<Tsig>,
    /// The addresses in each environment. Default: those of the endpoints.
    pub(in crate::config) records: Option<Records>,
    /// Instead of addresses: the name that each environment has anyway, as a CNAME.
    pub(in crate::config) cname: Option<Aliases>,
}

/// The key that updates are signed with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tsig {
    /// The key's name.
    pub(in crate::config) name: At<String>,
    /// How it signs. Default: `hmac-sha256`.
    pub(in crate::config) algorithm: Option<TsigAlgorithm>,
    /// The file with the key, relative to this one: base64 alone, or as `tsig-keygen` writes it.
    #[schemars(with = "String")]
    pub(in crate::config) key_file: At<PathBuf>,
}

/// How updates are signed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum TsigAlgorithm {
    /// The usual one.
    HmacSha256,
    /// Longer.
    HmacSha384,
    /// Longest.
    HmacSha512,
}

/// The addresses in each environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Records {
    /// In blue.
    pub(in crate::config) blue: At<Vec<At<String>>>,
    /// In green.
    pub(in crate::config) green: At<Vec<At<String>>>,
}

/// The name of each environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Aliases {
    /// Of blue.
    pub(in crate::config) blue: At<String>,
    /// Of green.
    pub(in crate::config) green: At<String>,
}

/// Somebody who is told about releases.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Notification {
    /// Its name.
    pub(in crate::config) name: At<String>,
    /// How it is spoken to.
    pub(in crate::config) kind: NotificationKind,
    /// Where it is: `http://` or `https://`.
    pub(in crate::config) url: Option<At<String>>,
    /// The environment variable that says where it is, if that is a secret.
    pub(in crate::config) url_env: Option<At<String>>,
    /// The file that says so, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) url_file: Option<At<PathBuf>>,
    /// The environment variable that holds what messages are signed with.
    pub(in crate::config) secret_env: Option<At<String>>,
    /// The file that holds it, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) secret_file: Option<At<PathBuf>>,
    /// It is told of nothing below this. Default: `warning`.
    pub(in crate::config) level: Option<NotificationLevel>,
    /// Names of services, or `["*"]` for every one. Default: every one.
    pub(in crate::config) services: Option<Vec<At<String>>>,
    /// Its messages' text, in Jinja's language. Default: title and text in two lines.
    pub(in crate::config) template: Option<At<String>>,
    /// For so long the same alert is not told again. Default: `5m`.
    pub(in crate::config) quiet: Option<At<String>>,
}

/// How a receiver is spoken to.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum NotificationKind {
    /// With all that is known, as JSON.
    Webhook,
    /// As Slack's incoming webhooks want it.
    Slack,
}

/// How much a message matters.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum NotificationLevel {
    /// All is as it was meant.
    Info,
    /// Somebody should know.
    Warning,
    /// Somebody should look now.
    Critical,
}
