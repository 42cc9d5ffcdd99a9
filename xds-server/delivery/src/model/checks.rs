//! What CI reported of versions. A version is its name: what was reported of it counts for every
//! release of it, also when it was reported before the version was deployed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{CheckName, VersionName};
use crate::units::Timestamp;

/// Most checks that a version may have.
pub const MAX_CHECKS: usize = 50;
/// Versions of a service whose checks are kept. Of more, those reported first are forgotten:
/// CI builds versions for ever, and few of them are released.
pub const MAX_CHECKED: usize = 200;
/// Longest address of a check's report, in bytes.
pub const MAX_URL: usize = 2048;

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Whether it passed.
    pub passed: bool,
    /// Where more can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What was said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The checks of one version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checked {
    /// When the first was reported.
    pub since: Timestamp,
    /// The newest result of each.
    pub results: BTreeMap<CheckName, CheckResult>,
}

/// The checks of a service's versions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checks(BTreeMap<VersionName, Checked>);

impl Checks {
    /// What was reported of a version, by check.
    #[must_use]
    pub fn of(&self, version: &VersionName) -> Option<&BTreeMap<CheckName, CheckResult>> {
        self.0.get(version).map(|checked| &checked.results)
    }

    /// What one check found of a version.
    #[must_use]
    pub fn result(&self, version: &VersionName, check: &CheckName) -> Option<&CheckResult> {
        self.of(version)?.get(check)
    }

    /// Takes a report. Forgets what was reported first if there are too many, but nothing of
    /// a version that is being released.
    pub(crate) fn report(
        &mut self,
        at: Timestamp,
        version: &VersionName,
        check: &CheckName,
        result: &CheckResult,
        releasing: Option<&VersionName>,
    ) {
        let new = || Checked { since: at, results: BTreeMap::new() };
        let checked = self.0.entry(version.clone()).or_insert_with(new);
        checked.results.insert(check.clone(), result.clone());
        if self.0.len() > MAX_CHECKED {
            let spared = |it: &&VersionName| **it == *version || Some(*it) == releasing;
            let others = self.0.iter().filter(|(name, _)| !spared(name));
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
    fn the_oldest_are_forgotten_but_not_what_is_being_released() {
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
