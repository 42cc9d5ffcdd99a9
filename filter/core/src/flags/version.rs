//! flagd's `sem_ver`: comparison of semantic versions.

use std::cmp::Ordering;

use semver::Version;

/// The operators of `sem_ver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionOperator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    SameMinor,
    SameMajor,
}

impl VersionOperator {
    pub(super) fn parse(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "~" => Self::SameMinor,
            "^" => Self::SameMajor,
            _ => return None,
        })
    }

    /// Whether the comparison holds; false if a side is not a version.
    pub(super) fn holds(self, left: &str, right: &str) -> bool {
        let (Some(left), Some(right)) = (parse(left), parse(right)) else {
            return false;
        };
        let order = left.cmp_precedence(&right);
        match self {
            Self::Equal => order == Ordering::Equal,
            Self::NotEqual => order != Ordering::Equal,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
            Self::SameMinor => (left.major, left.minor) == (right.major, right.minor),
            Self::SameMajor => left.major == right.major,
        }
    }
}

/// Parses a version. A leading `v` and omitted trailing zeros are accepted: `v1`, `1.2`.
pub(super) fn parse(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    if let Ok(version) = Version::parse(text) {
        return Some(version);
    }
    let mut numbers = text.split('.').map(|part| part.parse::<u64>().ok());
    let (major, minor) = (numbers.next()??, numbers.next().unwrap_or(Some(0))?);
    numbers.next().is_none().then(|| Version::new(major, minor, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_may_be_short_or_prefixed() {
        assert_eq!(parse("v1"), Some(Version::new(1, 0, 0)));
        assert_eq!(parse("1.2"), Some(Version::new(1, 2, 0)));
        assert_eq!(parse("v1.2.3"), Some(Version::new(1, 2, 3)));
        for bad in ["", "v", "1.", "1.2.3.4", "one", "1.2-beta", "-1", "1..2"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn operators_compare_by_precedence() {
        let holds =
            |left, operator, right| VersionOperator::parse(operator).unwrap().holds(left, right);
        assert!(holds("1.10.0", ">", "1.9.0"));
        assert!(holds("1.0.0-beta", "<", "1.0.0"));
        assert!(holds("1.0.0+a", "=", "1.0.0+b"));
        assert!(holds("1.0", "!=", "1.0.1"));
        assert!(holds("1.0", "<=", "1.0.0"));
        assert!(holds("1.0", ">=", "v1"));
        assert!(holds("1.2.9", "~", "1.2.0") && !holds("1.3.0", "~", "1.2.0"));
        assert!(holds("1.9.9", "^", "1.0.0") && !holds("2.0.0", "^", "1.0.0"));
        assert!(!holds("nonsense", "!=", "1.0.0"));
    }
}
