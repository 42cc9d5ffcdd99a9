//! DNS: the records of a blue/green service that follow the active environment. What they should
//! be is a function of the state; that the server answers so is an event, and part of a release's
//! convergence: caches keep the old answer for as long as its TTL says.

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

/// Most addresses that a name may have: an answer has to fit into one message.
pub const MAX_RECORDS: usize = 100;

/// A name that follows the active environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The zone that is updated, with its final dot.
    pub zone: String,
    /// The name whose records follow, with its final dot; in the zone.
    pub name: String,
    /// The zone's primary server: it is updated, and it is asked.
    pub server: SocketAddr,
    /// How long others may keep an answer.
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// What updates are signed with.
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
    /// How it signs.
    pub algorithm: TsigAlgorithm,
    /// Where the key is: base64 alone, or as BIND's `tsig-keygen` writes it.
    pub key_file: PathBuf,
}

/// How updates are signed: the HMACs of RFC 8945 that are not deprecated.
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

/// What the name leads to in each environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRecords {
    /// In blue.
    pub blue: RecordSet,
    /// In green.
    pub green: RecordSet,
}

/// All that a name leads to.
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

/// What is known of a service's records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DnsState {
    /// What the server was last seen to answer, as it should.
    pub published: Option<Published>,
    /// Why the records are not as they should be, if the last attempt failed.
    pub error: Option<String>,
}

/// Records that the server answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The records.
    pub records: RecordSet,
    /// When it was seen.
    pub at: Timestamp,
}

/// How far the records have followed a release to 100 %.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsProgress {
    /// The name that follows.
    pub name: String,
    /// How long others may keep the old answer.
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// Since when the server answers with the candidate's records.
    pub verified_at: Option<Timestamp>,
    /// Why it does not, if the last attempt failed.
    pub error: Option<String>,
}

impl DnsProgress {
    /// From then on nobody can have the old answer any more.
    #[must_use]
    pub fn caches_expired_at(&self) -> Option<Timestamp> {
        self.verified_at.map(|at| at.after(self.ttl))
    }
}

impl Release {
    /// What is missing until the candidate's records are served everywhere.
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

    /// When a watch that began then really begins: who asks DNS comes only once it has followed.
    pub(crate) fn watch_begins_at(&self, begun: Timestamp) -> Timestamp {
        let everywhere = self.dns.as_ref().and_then(DnsProgress::caches_expired_at);
        everywhere.map_or(begun, |everywhere| everywhere.max(begun))
    }
}

impl ServiceState {
    /// The environment that serves now, for blue/green services.
    #[must_use]
    pub fn active(&self) -> Option<Environment> {
        self.spec.versions.get(self.serving())?.environment
    }

    /// The records that the service's name should have now; none if it has no name, or none can be
    /// made of its endpoints.
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

    /// Whether it is still to be said that the server answers as it should.
    #[must_use]
    pub fn dns_update_pending(&self) -> bool {
        let Some(wanted) = self.desired_records() else { return false };
        let following = self.running().and_then(|release| release.dns.as_ref());
        following.is_some_and(|it| it.verified_at.is_none())
            || self.dns.error.is_some()
            || self.dns.published.as_ref().is_none_or(|it| it.records != wanted)
    }

    /// The version that has most of the traffic: DNS knows no shares.
    fn serving(&self) -> &VersionName {
        let watched = |release: &&Release| matches!(release.phase, Phase::Watching { .. });
        self.running().filter(watched).map_or(&self.stable, |release| &release.candidate)
    }
}
