//! Errors in flag definitions, with their location and a suggested fix.

use thiserror::Error;

/// An invalid definition. It is rejected as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {kind}")]
pub struct FlagError {
    /// Key of the invalid flag; `None` if the error is outside the flags.
    pub flag: Option<String>,
    /// Location in the document, such as `flags.beta.targeting.if[0]`.
    pub path: String,
    /// The error at this location.
    pub kind: FlagErrorKind,
}

/// The kinds of [`FlagError`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum FlagErrorKind {
    #[error("more than {limit} bytes, `$ref`s included; shorten lists or remove old flags")]
    TooLarge { limit: usize },
    #[error("not JSON: {0}")]
    Json(String),
    #[error("must be {expected}, but is {found}")]
    Type { expected: &'static str, found: &'static str },
    #[error("is missing; add {0}")]
    Missing(&'static str),
    #[error("more than {limit} flags; remove old ones")]
    TooManyFlags { limit: usize },
    #[error("more than {limit} rule nodes in all, `$ref`s included; simplify the rules")]
    TooManyNodes { limit: usize },
    #[error("rules nest deeper than {limit}; flatten them, and check for `$ref` cycles")]
    TooDeep { limit: usize },
    #[error("state `{0}` is unknown; use ENABLED or DISABLED")]
    State(String),
    #[error("variant `{0}` is not in `variants`; add it there or use one of those")]
    UnknownVariant(String),
    #[error("operator `{operator}` is unknown; use one of {known}")]
    Operator { operator: String, known: &'static str },
    #[error("a rule is an object with exactly one key, its operator, but this one has {0} keys")]
    RuleShape(usize),
    #[error("`{operator}` takes {expected}, but has {found}")]
    Arguments { operator: String, expected: &'static str, found: usize },
    #[error("a list may contain rules only as the second argument of `in`; use plain values here")]
    ComputedList,
    #[error("evaluator `{0}` does not exist; define it under `$evaluators`")]
    Reference(String),
    #[error("`{0}` is not an attribute; use a name, as in {{\"var\": \"targetingKey\"}}")]
    Attribute(String),
    #[error("weights must be whole numbers from 0, with a total from 1 to 2147483647")]
    Weights,
    #[error("`{0}` is not a version operator; use =, !=, <, <=, >, >=, ~ or ^")]
    VersionOperator(String),
    #[error("`{0}` is not a semantic version; use the form 1.4.2")]
    Version(String),
}
