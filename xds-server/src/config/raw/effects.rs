//! The shape of hooks, DNS records and notification receivers.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::span::Spanned;

/// An HTTP callback, sent as `POST`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hook {
    /// Its name.
    pub(in crate::config) name: Spanned<String>,
    /// The phase of a release that triggers it.
    pub(in crate::config) on: Moment,
    /// `http://` or `https://`.
    pub(in crate::config) url: Spanned<String>,
    /// Timeout of one attempt. Default: `10s`.
    pub(in crate::config) timeout: Option<Spanned<String>>,
    /// Number of retries. Default: 5.
    pub(in crate::config) retries: Option<Spanned<u32>>,
    /// Environment variable with the signing key.
    pub(in crate::config) secret_env: Option<Spanned<String>>,
    /// File with the signing key, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) secret_file: Option<Spanned<PathBuf>>,
    /// Whether the release waits for its success. Default: false.
    #[serde(default)]
    pub(in crate::config) blocking: bool,
}

/// The phase of a release that triggers a hook.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Moment {
    /// A release started, at 0 %.
    Started,
    /// The candidate receives all traffic.
    Switched,
    /// The candidate is the stable version.
    Completed,
    /// The previous version receives all traffic.
    RolledBack,
}

/// DNS records of the active environment, updated by RFC 2136.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Dns {
    /// The zone.
    pub(in crate::config) zone: Spanned<String>,
    /// The name of the records, in the zone.
    pub(in crate::config) name: Spanned<String>,
    /// `IP:PORT` of the zone's primary server.
    pub(in crate::config) server: Spanned<String>,
    /// TTL of the records. Default: `30s`.
    pub(in crate::config) ttl: Option<Spanned<String>>,
    /// Key that signs updates.
    pub(in crate::config) tsig: Option<Tsig>,
    /// IP addresses of each environment. Default: those of its endpoints.
    pub(in crate::config) records: Option<Records>,
    /// Target of a CNAME record for each environment, instead of addresses.
    pub(in crate::config) cname: Option<Aliases>,
}

/// Key that signs updates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tsig {
    /// Name of the key.
    pub(in crate::config) name: Spanned<String>,
    /// Algorithm. Default: `hmac-sha256`.
    pub(in crate::config) algorithm: Option<TsigAlgorithm>,
    /// File with the key, relative to this one: in base64, or the output of `tsig-keygen`.
    #[schemars(with = "String")]
    pub(in crate::config) key_file: Spanned<PathBuf>,
}

/// Algorithm that signs updates.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum TsigAlgorithm {
    /// HMAC-SHA-256.
    HmacSha256,
    /// HMAC-SHA-384.
    HmacSha384,
    /// HMAC-SHA-512.
    HmacSha512,
}

/// IP addresses of each environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Records {
    /// Of blue.
    pub(in crate::config) blue: Spanned<Vec<Spanned<String>>>,
    /// Of green.
    pub(in crate::config) green: Spanned<Vec<Spanned<String>>>,
}

/// CNAME target of each environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Aliases {
    /// Of blue.
    pub(in crate::config) blue: Spanned<String>,
    /// Of green.
    pub(in crate::config) green: Spanned<String>,
}

/// A receiver of notifications.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Notification {
    /// Its name.
    pub(in crate::config) name: Spanned<String>,
    /// Format of the messages.
    pub(in crate::config) kind: NotificationKind,
    /// URL, `http://` or `https://`.
    pub(in crate::config) url: Option<Spanned<String>>,
    /// Environment variable with the URL, if that is a secret.
    pub(in crate::config) url_env: Option<Spanned<String>>,
    /// File with the URL, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) url_file: Option<Spanned<PathBuf>>,
    /// Environment variable with the signing key.
    pub(in crate::config) secret_env: Option<Spanned<String>>,
    /// File with the signing key, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) secret_file: Option<Spanned<PathBuf>>,
    /// Environment variable with the bearer token, or with PagerDuty's routing key.
    pub(in crate::config) token_env: Option<Spanned<String>>,
    /// File with it, relative to this one.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) token_file: Option<Spanned<PathBuf>>,
    /// Least level that is sent. Default: `warning`; of CDEvents `info`.
    pub(in crate::config) level: Option<NotificationLevel>,
    /// Names of services, or `["*"]` for all. Default: all.
    pub(in crate::config) services: Option<Spanned<Vec<Spanned<String>>>>,
    /// Jinja template of the text. Default: title and text in two lines.
    pub(in crate::config) template: Option<Spanned<String>>,
    /// Id of the environment in CDEvents, `production`.
    pub(in crate::config) environment: Option<Spanned<String>>,
    /// Interval in which a repeated alert is not sent again. Default: `5m`.
    pub(in crate::config) quiet: Option<Spanned<String>>,
}

/// Format of the messages.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum NotificationKind {
    /// JSON with all fields.
    Webhook,
    /// Slack's incoming webhooks.
    Slack,
    /// Webhooks of Microsoft Teams (Workflows).
    Teams,
    /// PagerDuty's Events API v2; the token is the routing key, the URL `https://events.pagerduty.com/v2/enqueue`.
    PagerDuty,
    /// Alertmanager's API; the URL ends with `/api/v2/alerts`.
    Alertmanager,
    /// Grafana's annotations; the URL ends with `/api/annotations`, the token is that of a service account.
    Grafana,
    /// CDEvents 0.4.1, as CloudEvents in structured mode.
    CdEvents,
}

/// Severity of a notification.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum NotificationLevel {
    /// Expected progress.
    Info,
    /// Needs attention.
    Warning,
    /// Needs attention now.
    Critical,
}
