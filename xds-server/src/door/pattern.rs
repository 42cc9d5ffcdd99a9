//! Which identities may be of a fleet.

use std::str::FromStr;

use super::identity::{NotSpiffe, SpiffeId, check_segment, check_trust_domain, split};

/// A SPIFFE id with room in it: `{node}` stands for the `node.id` that the client claims, and a
/// trailing `/*` for anything below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityPattern {
    trust_domain: String,
    segments: Vec<Segment>,
    /// Whether it ends in `/*`.
    below: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{node}`.
    Node,
}

/// How well an identity fits a pattern, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Somebody else's identity.
    Not,
    /// An identity of this fleet, and of another sidecar.
    OtherNode,
    /// An identity of this fleet that does not say which sidecar it is.
    AnyNode,
    /// The identity of this very sidecar.
    ThisNode,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// What it is made of is no SPIFFE id.
    #[error("it is no SPIFFE id: {0}")]
    NotSpiffe(#[from] NotSpiffe),
    /// `*` within.
    #[error("`*` may only stand at the end, as `/*`")]
    Star,
}

impl IdentityPattern {
    /// How well an identity fits that claims to be this sidecar.
    #[must_use]
    pub fn fit(&self, id: &SpiffeId, node: &str) -> Fit {
        let (trust_domain, mut path) = id.parts();
        if trust_domain != self.trust_domain {
            return Fit::Not;
        }
        let mut fit = Fit::AnyNode;
        for segment in &self.segments {
            match (segment, path.next()) {
                (Segment::Literal(expected), Some(found)) if expected == found => {}
                (Segment::Node, Some(found)) if fit != Fit::OtherNode && found == node => {
                    fit = Fit::ThisNode;
                }
                (Segment::Node, Some(_)) => fit = Fit::OtherNode,
                (Segment::Literal(_), Some(_)) | (_, None) => return Fit::Not,
            }
        }
        if path.next().is_some() == self.below { fit } else { Fit::Not }
    }
}

impl FromStr for IdentityPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let (trust_domain, path) = split(text)?;
        check_trust_domain(trust_domain)?;
        let path = path.ok_or(NotSpiffe::NoPath)?;
        let (path, below) = match path.strip_suffix('*').map(|above| above.strip_suffix('/')) {
            None => (Some(path), false),
            Some(Some(above)) => (Some(above), true),
            Some(None) if path == "*" => (None, true),
            Some(None) => return Err(BadPattern::Star),
        };
        let segment = |text: &str| match text {
            "{node}" => Ok(Segment::Node),
            starred if starred.contains('*') => Err(BadPattern::Star),
            _ => {
                check_segment(text)?;
                Ok(Segment::Literal(text.to_owned()))
            }
        };
        let segments = path.into_iter().flat_map(|path| path.split('/')).map(segment);
        let segments = segments.collect::<Result<_, _>>()?;
        Ok(Self { trust_domain: trust_domain.to_owned(), segments, below })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(pattern: &str, id: &str, node: &str) -> Fit {
        let pattern: IdentityPattern = pattern.parse().unwrap();
        pattern.fit(&id.parse().unwrap(), node)
    }

    #[test]
    fn a_pattern_fits_itself_and_what_is_below_its_star() {
        for (pattern, id, expected) in [
            ("spiffe://a.org/shop", "spiffe://a.org/shop", Fit::AnyNode),
            ("spiffe://a.org/shop", "spiffe://a.org/shop/web", Fit::Not),
            ("spiffe://a.org/shop", "spiffe://a.org/shopper", Fit::Not),
            ("spiffe://a.org/shop", "spiffe://b.org/shop", Fit::Not),
            ("spiffe://a.org/shop", "spiffe://a.org.evil/shop", Fit::Not),
            ("spiffe://a.org/shop/*", "spiffe://a.org/shop/web", Fit::AnyNode),
            ("spiffe://a.org/shop/*", "spiffe://a.org/shop/web/1", Fit::AnyNode),
            ("spiffe://a.org/shop/*", "spiffe://a.org/shop", Fit::Not),
            ("spiffe://a.org/shop/*", "spiffe://a.org/shopper/web", Fit::Not),
            ("spiffe://a.org/*", "spiffe://a.org/any", Fit::AnyNode),
        ] {
            assert_eq!(fit(pattern, id, "n"), expected, "{pattern} {id}");
        }
    }

    #[test]
    fn the_node_in_a_pattern_is_the_one_that_is_claimed() {
        let pattern = "spiffe://a.org/node/{node}/envoy";
        assert_eq!(fit(pattern, "spiffe://a.org/node/n-1/envoy", "n-1"), Fit::ThisNode);
        assert_eq!(fit(pattern, "spiffe://a.org/node/n-1/envoy", "n-2"), Fit::OtherNode);
        assert_eq!(fit(pattern, "spiffe://a.org/node/n-1", "n-1"), Fit::Not);
        let twice = "spiffe://a.org/{node}/{node}";
        assert_eq!(fit(twice, "spiffe://a.org/n-2/n-1", "n-1"), Fit::OtherNode);
        assert_eq!(fit(twice, "spiffe://a.org/n-1/n-2", "n-1"), Fit::OtherNode);
    }

    #[test]
    fn what_could_mean_more_than_it_seems_is_no_pattern() {
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
            "spiffe://a.org:80/x",
            "spiffe://u@a.org/x",
            "spiffe://a.org/x*",
            "spiffe://a.org/*/x",
            "spiffe://a.org/x//*",
            "spiffe://a.org/../x",
            "spiffe://a.org/x?y",
            "spiffe://a.org/x%2fy",
            "spiffe://a.org/p-{node}",
            "spiffe://{node}/x",
        ] {
            assert!(text.parse::<IdentityPattern>().is_err(), "{text}");
        }
    }
}
