//! Validated names. Parsing is the only constructor, so a value of these types is always valid.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Maximum length in bytes: that of a DNS label.
pub const MAX_LEN: usize = 63;

/// Longest name of a service, in bytes: a [`ReleaseId`] appends `.NUMBER`, whose number may have ten
/// digits.
pub const MAX_SERVICE_LEN: usize = MAX_LEN - 11;

/// Why a text is not a name. `kind` is what it should name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An empty text.
    #[error("a {0} needs a name")]
    Empty(&'static str),
    /// Too many bytes.
    #[error("{kind} `{name}…` is longer than {max} bytes")]
    TooLong {
        /// `service`, `version`, …
        kind: &'static str,
        /// The first 20 characters.
        name: String,
        /// The limit, in bytes.
        max: usize,
    },
    /// A character that needs escaping in a cluster name, a metric label or a URL path.
    #[error(
        "{kind} `{name}` may hold only letters, digits, `-`, `_` and `.`, and must start with a letter or digit"
    )]
    BadCharacter {
        /// `service`, `version`, …
        kind: &'static str,
        /// The text.
        name: String,
    },
}

fn check(kind: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty(kind));
    }
    if name.len() > max {
        let name = name.chars().take(20).collect();
        return Err(NameError::TooLong { kind, name, max });
    }
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !starts_well || !name.bytes().all(inner) {
        return Err(NameError::BadCharacter { kind, name: name.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal $(, $max:expr)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                let longest = [MAX_LEN $(, $max)?];
                check($kind, name, longest.into_iter().min().unwrap_or(MAX_LEN))?;
                Ok(Self(name.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A service: `order`.
    ServiceName,
    "service",
    MAX_SERVICE_LEN
);
name!(
    /// A business metric of a service: `order_success`.
    MetricName,
    "business metric"
);
name!(
    /// A named set of endpoints that serve a service: `v2`.
    VersionName,
    "version"
);
name!(
    /// The sidecars that share one configuration, matched on Envoy's `node.cluster`.
    FleetName,
    "fleet"
);
name!(
    /// A check of CI: `tests`.
    CheckName,
    "check"
);
name!(
    /// The role of an approver: `release-manager`.
    RoleName,
    "role"
);
name!(
    /// A business or security signal: `order-success`.
    SignalName,
    "signal"
);
name!(
    /// A freeze window: `year-end`.
    FreezeName,
    "freeze"
);
name!(
    /// A release group: `checkout`.
    GroupName,
    "release group"
);
name!(
    /// A hook of a service: `update-cache`.
    HookName,
    "hook"
);
name!(
    /// A notification receiver: `team`.
    ReceiverName,
    "notification receiver"
);
name!(
    /// A release: `order.7` is the seventh of `order`. Also the salt of its buckets.
    ReleaseId,
    "release"
);

/// A selection of services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Services {
    /// Every service, also one that is added later.
    All,
    /// The listed ones.
    Named(BTreeSet<ServiceName>),
}

impl Services {
    /// True if the service is selected.
    #[must_use]
    pub fn include(&self, service: &ServiceName) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(service),
        }
    }
}

impl ReleaseId {
    /// The id of a service's `number`th release.
    ///
    /// # Errors
    /// When the number has more than ten digits.
    pub fn of(service: &ServiceName, number: u64) -> Result<Self, NameError> {
        format!("{service}.{number}").parse()
    }

    /// The name of the released service: the part before the last `.`.
    #[must_use]
    pub fn service(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(service, _)| service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_names_are_accepted() {
        for name in ["order", "v2", "2026.11.23-rc_1", "A"] {
            assert_eq!(name.parse::<VersionName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn the_longest_service_name_has_releases_up_to_ten_digits() {
        let longest: ServiceName = "x".repeat(MAX_SERVICE_LEN).parse().unwrap();
        let id = ReleaseId::of(&longest, 9_999_999_999).unwrap();
        assert_eq!(id.service(), longest.as_str());
        assert!(ReleaseId::of(&longest, 10_000_000_000).is_err());
        let longer = "x".repeat(MAX_SERVICE_LEN + 1).parse::<ServiceName>();
        assert!(matches!(longer, Err(NameError::TooLong { max: MAX_SERVICE_LEN, .. })));
    }

    #[test]
    fn names_that_need_escaping_are_rejected() {
        for name in ["", "-v", ".v", "a/b", "a b", "a\n", "ä", &"x".repeat(MAX_LEN + 1)] {
            assert!(name.parse::<VersionName>().is_err(), "{name:?}");
        }
    }
}
