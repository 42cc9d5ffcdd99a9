//! DNS records of a blue/green service, which follow the active environment. The desired records are a function of the
//! state. The answer of the server is an event. A release waits for it, and then until caches have expired by TTL.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::blocker::Blocker;
use crate::model::catalogue::Environment;
use crate::model::release::{Phase, Release};
use crate::model::state::ServiceState;
use crate::names::VersionName;
use crate::units::{Timestamp, millis};

/// Most addresses of a name: an answer must fit into one message.
pub const MAX_RECORDS: usize = 100;

/// The DNS name of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The zone, with its final dot.
    pub zone: String,
    /// The name in the zone, with its final dot.
    pub name: String,
    /// The primary server of the zone.
    pub server: SocketAddr,
    /// The TTL of the records.
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// The key that signs updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig: Option<Tsig>,
    /// The records of each environment; absent: the addresses of the serving version's endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<EnvironmentRecords>,
}

/// The key that updates are signed with, by RFC 8945.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tsig {
    /// The key's name, with its final dot.
    pub name: String,
    /// The algorithm.
    pub algorithm: TsigAlgorithm,
    /// The file of the key: base64 alone, or as BIND's `tsig-keygen` writes it.
    pub key_file: PathBuf,
}

/// Algorithms of TSIG: the HMACs of RFC 8945 that are not deprecated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TsigAlgorithm {
    /// `hmac-sha256`.
    HmacSha256,
    /// `hmac-sha384`.
    HmacSha384,
    /// `hmac-sha512`.
    HmacSha512,
}

/// The records of each environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRecords {
    /// In blue.
    pub blue: RecordSet,
    /// In green.
    pub green: RecordSet,
}

/// The records of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordSet {
    /// A and AAAA.
    Addresses(BTreeSet<IpAddr>),
    /// CNAME, with its final dot.
    Alias(String),
}

impl fmt::Display for RecordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(name) => f.write_str(name),
            Self::Addresses(addresses) => {
                let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&shown.join(", "))
            }
        }
    }
}

/// The state of the records of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DnsState {
    /// The last answer of the server with the desired records.
    pub published: Option<Published>,
    /// The error of the last attempt, if it failed.
    pub error: Option<String>,
}

/// Records of an answer of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The records.
    pub records: RecordSet,
    /// The time of the answer.
    pub at: Timestamp,
}

/// The progress of the DNS update of a release at 100 %.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsProgress {
    /// The name.
    pub name: String,
    /// The TTL of the old answer.
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// When the server first answered with the records of the candidate.
    pub verified_at: Option<Timestamp>,
    /// The error of the last attempt, if it failed.
    pub error: Option<String>,
}

impl DnsProgress {
    /// The time at which the old answer has expired in all caches.
    #[must_use]
    pub fn caches_expired_at(&self) -> Option<Timestamp> {
        self.verified_at.map(|at| at.after(self.ttl))
    }
}

impl Release {
    /// What is missing until all caches have the records of the candidate.
    pub(crate) fn dns_blocker(&self, now: Timestamp) -> Option<Blocker> {
        let progress =
            self.dns.as_ref().filter(|_| matches!(self.phase, Phase::Watching { .. }))?;
        let name = progress.name.clone();
        match progress.caches_expired_at() {
            None => {
                let (version, error) = (self.candidate.clone(), progress.error.clone());
                Some(Blocker::Dns { name, version, error })
            }
            Some(expired) => {
                let remaining = expired.since(now);
                (!remaining.is_zero()).then_some(Blocker::DnsCaches { name, remaining })
            }
        }
    }

    /// The start of the watch period: not before the old DNS answer has expired.
    pub(crate) fn watch_begins_at(&self, converged_at: Timestamp) -> Timestamp {
        let expired = self.dns.as_ref().and_then(DnsProgress::caches_expired_at);
        expired.map_or(converged_at, |expired| expired.max(converged_at))
    }
}

impl ServiceState {
    /// The active environment of a blue/green service.
    #[must_use]
    pub fn active(&self) -> Option<Environment> {
        self.spec.versions.get(self.serving())?.environment
    }

    /// The desired records; none without a DNS name, or if endpoints have no IP address.
    #[must_use]
    pub fn desired_records(&self) -> Option<RecordSet> {
        let dns = self.spec.dns.as_ref()?;
        if let Some(records) = &dns.records {
            return Some(match self.active()? {
                Environment::Blue => records.blue.clone(),
                Environment::Green => records.green.clone(),
            });
        }
        let endpoints = &self.spec.versions.get(self.serving())?.endpoints;
        let addresses: Option<BTreeSet<IpAddr>> =
            endpoints.iter().map(|endpoint| endpoint.host.parse().ok()).collect();
        let fits = |them: &BTreeSet<IpAddr>| (1..=MAX_RECORDS).contains(&them.len());
        addresses.filter(fits).map(RecordSet::Addresses)
    }

    /// True until an event says that the server answers with the desired records.
    #[must_use]
    pub fn dns_update_pending(&self) -> bool {
        let Some(desired) = self.desired_records() else { return false };
        let progress = self.running().and_then(|release| release.dns.as_ref());
        progress.is_some_and(|it| it.verified_at.is_none())
            || self.dns.error.is_some()
            || self.dns.published.as_ref().is_none_or(|it| it.records != desired)
    }

    /// The version at 100 %: stable, or the candidate in its watch period.
    fn serving(&self) -> &VersionName {
        let watching = |release: &&Release| matches!(release.phase, Phase::Watching { .. });
        self.running().filter(watching).map_or(&self.stable, |release| &release.candidate)
    }
}
