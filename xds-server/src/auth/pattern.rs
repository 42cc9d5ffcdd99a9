//! Patterns for the identities of a fleet.

use std::str::FromStr;

use super::identity::{WorkloadId, WorkloadIdError, parse_canonical, path_segments};

/// The placeholder for `node.id`, a whole segment.
const NODE: &str = "{node}";

/// A SPIFFE ID in which `{node}` stands for the `node.id` in the request, and a trailing `/*` for one or more segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityPattern {
    trust_domain: String,
    segments: Vec<Segment>,
    /// Ends in `/*`.
    has_wildcard: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{node}`.
    Node,
}

/// The result of matching an identity and a node id, in ascending order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PatternMatch {
    /// The identity does not belong to the fleet.
    None,
    /// The identity belongs to the fleet and names another node.
    OtherNode,
    /// The identity belongs to the fleet and names no node.
    AnyNode,
    /// The identity names this node.
    ThisNode,
}

/// A text is not an identity pattern.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// Without its placeholders it is not a SPIFFE ID.
    #[error("it is not a SPIFFE ID: {0}")]
    Id(#[from] WorkloadIdError),
    /// `*` somewhere else.
    #[error("`*` may only stand at the end, as `/*`")]
    Wildcard,
}

impl IdentityPattern {
    /// Matches an identity whose request names this node.
    #[must_use]
    pub fn matches(&self, id: &WorkloadId, node: &str) -> PatternMatch {
        if id.trust_domain() != self.trust_domain {
            return PatternMatch::None;
        }
        let mut result = PatternMatch::AnyNode;
        let mut path = id.segments();
        for segment in &self.segments {
            match (segment, path.next()) {
                (Segment::Literal(expected), Some(found)) if expected == found => {}
                (Segment::Node, Some(found))
                    if result != PatternMatch::OtherNode && found == node =>
                {
                    result = PatternMatch::ThisNode;
                }
                (Segment::Node, Some(_)) => result = PatternMatch::OtherNode,
                (Segment::Literal(_), Some(_)) | (_, None) => return PatternMatch::None,
            }
        }
        if path.next().is_some() == self.has_wildcard { result } else { PatternMatch::None }
    }
}

impl FromStr for IdentityPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (base, has_wildcard) = match text.strip_suffix("/*") {
            Some(base) => (base, true),
            None => (text, false),
        };
        if base.contains('*') {
            return Err(PatternError::Wildcard);
        }
        // The first three parts are the scheme and the trust domain.
        let parts: Vec<&str> = base.split('/').collect();
        let is_node = |index: usize, part: &str| index >= 3 && part == NODE;
        let example = parts
            .iter()
            .enumerate()
            .map(|(index, part)| if is_node(index, part) { "node" } else { part });
        let id = parse_canonical(&example.collect::<Vec<_>>().join("/"))?;
        if id.path().is_empty() && !has_wildcard {
            return Err(WorkloadIdError::NoPath.into());
        }
        let segments = path_segments(&id).zip(parts.iter().skip(3)).map(|(valid, part)| {
            if *part == NODE { Segment::Node } else { Segment::Literal(valid.to_owned()) }
        });
        Ok(Self {
            trust_domain: id.trust_domain_name().to_owned(),
            segments: segments.collect(),
            has_wildcard,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, id: &str, node: &str) -> PatternMatch {
        let pattern: IdentityPattern = pattern.parse().unwrap();
        pattern.matches(&id.parse().unwrap(), node)
    }

    #[test]
    fn a_pattern_matches_itself_and_ids_below_its_wildcard() {
        for (pattern, id, expected) in [
            ("spiffe://a.org/shop", "spiffe://a.org/shop", PatternMatch::AnyNode),
            ("spiffe://a.org/shop", "spiffe://a.org/shop/web", PatternMatch::None),
            ("spiffe://a.org/shop", "spiffe://a.org/shopper", PatternMatch::None),
            ("spiffe://a.org/shop", "spiffe://b.org/shop", PatternMatch::None),
            ("spiffe://a.org/shop", "spiffe://a.org.evil/shop", PatternMatch::None),
            ("spiffe://a.org/shop/*", "spiffe://a.org/shop/web", PatternMatch::AnyNode),
            ("spiffe://a.org/shop/*", "spiffe://a.org/shop/web/1", PatternMatch::AnyNode),
            ("spiffe://a.org/shop/*", "spiffe://a.org/shop", PatternMatch::None),
            ("spiffe://a.org/shop/*", "spiffe://a.org/shopper/web", PatternMatch::None),
            ("spiffe://a.org/*", "spiffe://a.org/any", PatternMatch::AnyNode),
        ] {
            assert_eq!(matches(pattern, id, "n"), expected, "{pattern} {id}");
        }
    }

    #[test]
    fn the_node_placeholder_matches_the_node_id_of_the_request() {
        let pattern = "spiffe://a.org/node/{node}/envoy";
        let id = "spiffe://a.org/node/n-1/envoy";
        assert_eq!(matches(pattern, id, "n-1"), PatternMatch::ThisNode);
        assert_eq!(matches(pattern, id, "n-2"), PatternMatch::OtherNode);
        assert_eq!(matches(pattern, "spiffe://a.org/node/n-1", "n-1"), PatternMatch::None);
        let twice = "spiffe://a.org/{node}/{node}";
        assert_eq!(matches(twice, "spiffe://a.org/n-2/n-1", "n-1"), PatternMatch::OtherNode);
        assert_eq!(matches(twice, "spiffe://a.org/n-1/n-2", "n-1"), PatternMatch::OtherNode);
        assert_eq!(matches(twice, "spiffe://a.org/n-1/n-1", "n-1"), PatternMatch::ThisNode);
    }

    #[test]
    fn ambiguous_texts_are_not_patterns() {
        for text in [
            "",
            "*",
            "https://a.org/x",
            "spiffe://",
            "spiffe:///x",
            "spiffe://a.org",
            "spiffe://a.org/",
            "spiffe://*/x",
            "spiffe://A.org/x",
            "SPIFFE://a.org/x",
            "spiffe://a.org:80/x",
            "spiffe://u@a.org/x",
            "spiffe://a.org/x*",
            "spiffe://a.org/*/x",
            "spiffe://a.org/x//*",
            "spiffe://a.org/../x",
            "spiffe://a.org/x?y",
            "spiffe://a.org/x#y",
            "spiffe://a.org/x%2fy",
            "spiffe://a.org/p-{node}",
            "spiffe://{node}/x",
        ] {
            assert!(text.parse::<IdentityPattern>().is_err(), "{text}");
        }
    }
}
