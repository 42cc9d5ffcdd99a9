//! Checks of versions, reported by CI. A check belongs to the name of a version: it counts for every release of that
//! version, also if it was reported before the deployment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{CheckName, VersionName};
use crate::units::Timestamp;

/// Most checks of one version.
pub const MAX_CHECKS: usize = 50;
/// Most versions of a service whose checks are kept. Beyond it the oldest are dropped.
pub const MAX_CHECKED: usize = 200;
/// Longest URL of a report, in bytes.
pub const MAX_URL: usize = 2048;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// True if it passed.
    pub passed: bool,
    /// The URL of the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The reason that CI gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The checks of one version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checked {
    /// The time of the first report.
    pub since: Timestamp,
    /// The newest result of each check.
    pub results: BTreeMap<CheckName, CheckResult>,
}

/// The checks of a service's versions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checks(BTreeMap<VersionName, Checked>);

impl Checks {
    /// The results of a version, by check.
    #[must_use]
    pub fn of(&self, version: &VersionName) -> Option<&BTreeMap<CheckName, CheckResult>> {
        self.0.get(version).map(|checked| &checked.results)
    }

    /// The result of one check of a version.
    #[must_use]
    pub fn result(&self, version: &VersionName, check: &CheckName) -> Option<&CheckResult> {
        self.of(version)?.get(check)
    }

    /// Adds a result. Beyond [`MAX_CHECKED`] versions the oldest is dropped, except the candidate of a running release.
    pub(crate) fn report(
        &mut self,
        at: Timestamp,
        version: &VersionName,
        check: &CheckName,
        result: &CheckResult,
        candidate: Option<&VersionName>,
    ) {
        let new = || Checked { since: at, results: BTreeMap::new() };
        let checked = self.0.entry(version.clone()).or_insert_with(new);
        checked.results.insert(check.clone(), result.clone());
        if self.0.len() > MAX_CHECKED {
            let kept = |it: &&VersionName| **it == *version || Some(*it) == candidate;
            let others = self.0.iter().filter(|(name, _)| !kept(name));
            let oldest = others.min_by_key(|(name, checked)| (checked.since, *name));
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.0.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::name;

    #[test]
    fn the_oldest_are_dropped_but_not_the_candidate() {
        let mut checks = Checks::default();
        let passed = CheckResult { passed: true, url: None, reason: None };
        let version = |number: usize| name::<VersionName>(&format!("v{number}"));
        let candidate = version(0);
        for number in 0..MAX_CHECKED + 10 {
            let at = Timestamp(number as u64);
            checks.report(at, &version(number), &name("tests"), &passed, Some(&candidate));
        }
        assert_eq!(checks.0.len(), MAX_CHECKED);
        assert!(checks.of(&candidate).is_some());
        assert!(checks.of(&version(1)).is_none());
        assert_eq!(checks.result(&version(MAX_CHECKED), &name("tests")), Some(&passed));
    }
}
