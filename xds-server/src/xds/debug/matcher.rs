//! Node matchers of client status requests.

use tidegate_proto::envoy::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use tidegate_proto::envoy::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};
use tonic::Status;

/// Most matchers in one request.
const MAX_MATCHERS: usize = 100;

/// Matches a sidecar if one matcher matches, or if there are no matchers.
#[derive(Debug)]
pub(super) struct Matchers(Vec<NodeId>);

/// One matcher of `node.id`.
#[derive(Debug)]
struct NodeId {
    ignore_case: bool,
    pattern: Pattern,
}

#[derive(Debug)]
enum Pattern {
    Any,
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
}

impl Matchers {
    pub(super) fn match_node(&self, id: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|matcher| matcher.matches(id))
    }
}

impl TryFrom<Vec<NodeMatcher>> for Matchers {
    type Error = Status;

    /// Unsupported matchers are an error: ignoring one would return other sidecars than requested.
    fn try_from(matchers: Vec<NodeMatcher>) -> Result<Self, Status> {
        if matchers.len() > MAX_MATCHERS {
            return Err(Status::invalid_argument(format!(
                "`node_matchers` has {} matchers: at most {MAX_MATCHERS} are supported",
                matchers.len()
            )));
        }
        matchers.into_iter().map(NodeId::try_from).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<NodeMatcher> for NodeId {
    type Error = Status;

    fn try_from(matcher: NodeMatcher) -> Result<Self, Status> {
        if !matcher.node_metadatas.is_empty() {
            return Err(Status::invalid_argument(
                "`node_metadatas` is not supported, because metadata is not stored: match on `node_id`",
            ));
        }
        let Some(StringMatcher { ignore_case, match_pattern }) = matcher.node_id else {
            return Ok(Self { ignore_case: false, pattern: Pattern::Any });
        };
        let pattern = match match_pattern {
            Some(MatchPattern::Exact(text)) => Pattern::Exact(text),
            Some(MatchPattern::Prefix(text)) => Pattern::Prefix(text),
            Some(MatchPattern::Suffix(text)) => Pattern::Suffix(text),
            Some(MatchPattern::Contains(text)) => Pattern::Contains(text),
            Some(MatchPattern::SafeRegex(_) | MatchPattern::Custom(_)) | None => {
                return Err(Status::invalid_argument(
                    "`node_id` must be matched by `exact`, `prefix`, `suffix` or `contains`",
                ));
            }
        };
        Ok(Self { ignore_case, pattern: pattern.folded(ignore_case) })
    }
}

impl NodeId {
    fn matches(&self, id: &str) -> bool {
        let id = folded(id, self.ignore_case);
        match &self.pattern {
            Pattern::Any => true,
            Pattern::Exact(text) => *text == id,
            Pattern::Prefix(text) => id.starts_with(text),
            Pattern::Suffix(text) => id.ends_with(text),
            Pattern::Contains(text) => id.contains(text),
        }
    }
}

impl Pattern {
    fn folded(self, fold: bool) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::Exact(text) => Self::Exact(folded(&text, fold)),
            Self::Prefix(text) => Self::Prefix(folded(&text, fold)),
            Self::Suffix(text) => Self::Suffix(folded(&text, fold)),
            Self::Contains(text) => Self::Contains(folded(&text, fold)),
        }
    }
}

fn folded(text: &str, fold: bool) -> String {
    if fold { text.to_lowercase() } else { text.to_owned() }
}
