//! What holds releases: required checks and approvals, and times in which nothing goes forward.

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;
use super::short::Short;

/// What others must have said before a release gets traffic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Requirements {
    /// Checks that CI must have reported as passed, by name.
    #[serde(default)]
    pub(in crate::config) checks: Vec<At<String>>,
    /// Who must have approved.
    pub(in crate::config) approvals: Option<At<Short<Approvals>>>,
}

/// How many of whom must approve. The role alone, in a word: one of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Approvals {
    /// So many different people; who started the release is none of them. Default: 1.
    pub(in crate::config) count: Option<u32>,
    /// Of this role.
    pub(in crate::config) role: At<String>,
    /// An approval is good for so long. Default: `24h`.
    pub(in crate::config) expire: Option<At<String>>,
}

/// A time in which no release goes forward: on days of each week, or once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FreezeWindow {
    /// Its name.
    pub(in crate::config) name: At<String>,
    /// Weekly: the days on which it begins, `mon` to `sun`.
    pub(in crate::config) days: Option<At<Vec<At<String>>>>,
    /// Weekly: when it begins on each of them, `HH:MM`. Default: `00:00`.
    pub(in crate::config) from: Option<At<String>>,
    /// Weekly: when it ends, `HH:MM`; on the next day, if that is not later than `from`. Default: `00:00`.
    pub(in crate::config) to: Option<At<String>>,
    /// Weekly: whose days and hours, such as `Europe/Berlin`. Default: `UTC`.
    pub(in crate::config) time_zone: Option<At<String>>,
    /// Once: from then on, such as `2026-12-20T00:00:00Z`.
    pub(in crate::config) start: Option<At<String>>,
    /// Once: until then.
    pub(in crate::config) end: Option<At<String>>,
    /// The services that it holds. Default: `["*"]`, every one.
    pub(in crate::config) services: Option<At<Vec<At<String>>>>,
}
