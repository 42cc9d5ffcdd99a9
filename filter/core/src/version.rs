//! Version of the filter: reports name it, and a configuration names the least protocol that it
//! needs.

use std::{cmp::Ordering, fmt};

use semver::Version;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// Protocol of this filter. It is raised with every field of
/// [`FilterConfig`](crate::config::FilterConfig) that a filter must not ignore.
pub const PROTOCOL: u32 = 3;
/// Limit of a version in a report, in bytes.
pub const MAX_VERSION: usize = 32;

/// The version of a filter module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterVersion {
    package: Version,
    protocol: u32,
}

/// A text in a report that is not the version of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("must be a semantic version of at most {MAX_VERSION} bytes")]
pub struct InvalidFilterVersion;

impl FilterVersion {
    /// A version from a report.
    ///
    /// # Errors
    /// If `package` is not a semantic version, or too long.
    pub fn parse(package: &str, protocol: u32) -> Result<Self, InvalidFilterVersion> {
        if package.len() > MAX_VERSION {
            return Err(InvalidFilterVersion);
        }
        let package = Version::parse(package).map_err(|_| InvalidFilterVersion)?;
        Ok(Self { package, protocol })
    }

    /// The version that this build of the core belongs to.
    #[must_use]
    pub fn current() -> Self {
        #[expect(clippy::expect_used, reason = "Cargo accepts only semantic versions")]
        let package = Version::parse(env!("CARGO_PKG_VERSION")).expect("a semantic version");
        Self { package, protocol: PROTOCOL }
    }

    /// Whether it has an older protocol or an older package version.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.protocol < other.protocol
            || self.package.cmp_precedence(&other.package) == Ordering::Less
    }
}

/// The package version.
impl fmt::Display for FilterVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.package.fmt(f)
    }
}

impl Serialize for FilterVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_semantic_and_bounded() {
        let longest = format!("1.0.0-{}", "x".repeat(MAX_VERSION - 6));
        for good in ["0.1.0", "1.2.3-rc.1+abc", &longest] {
            assert_eq!(FilterVersion::parse(good, 1).unwrap().to_string(), good);
        }
        for bad in ["", "1", "v1.2.3", "1.2.3\n", &format!("{longest}x")] {
            assert_eq!(FilterVersion::parse(bad, 1), Err(InvalidFilterVersion), "{bad:?}");
        }
    }

    #[test]
    fn an_older_package_or_protocol_is_older() {
        let version = |package, protocol| FilterVersion::parse(package, protocol).unwrap();
        let current = version("0.10.0", 2);
        for older in [version("0.9.9", 2), version("0.10.0", 1), version("0.11.0", 1)] {
            assert!(older.is_older_than(&current), "{older:?}");
        }
        for other in [version("0.10.0", 2), version("0.10.0+build", 2), version("0.11.0", 3)] {
            assert!(!other.is_older_than(&current), "{other:?}");
        }
    }
}
