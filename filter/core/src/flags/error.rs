//! What can be wrong with a flag definition: which flag, where in it, and the way out.

use thiserror::Error;

/// A definition that was refused. Nothing of it takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {problem}")]
pub struct FlagError {
    /// The flag at fault, if it is one flag's.
    pub flag: Option<String>,
    /// Where in the document, as in `flags.beta.targeting.if[0]`.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at one place of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum Problem {
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
    #[error("rules nest deeper than {limit}; flatten them, and see that no `$ref` leads to itself")]
    TooDeep { limit: usize },
    #[error("state `{0}` is unknown; use ENABLED or DISABLED")]
    State(String),
    #[error(
        "names variant `{0}`, which `variants` does not have; add it there or name one that is"
    )]
    UnknownVariant(String),
    #[error("operator `{operator}` is unknown; use one of {known}")]
    Operator { operator: String, known: &'static str },
    #[error("a rule is an object with exactly one key, its operator, but this one has {0}")]
    RuleShape(usize),
    #[error("`{operator}` takes {expected}, but has {found}")]
    Arguments { operator: String, expected: &'static str, found: usize },
    #[error("a list may hold rules only as the second argument of `in`; write plain values here")]
    ComputedList,
    #[error("evaluator `{0}` does not exist; define it under `$evaluators`")]
    Reference(String),
    #[error("`{0}` is no attribute; name one, as in {{\"var\": \"targetingKey\"}}")]
    Attribute(String),
    #[error("weights must be whole numbers of at least 0, and sum to between 1 and 2147483647")]
    Weights,
    #[error("`{0}` compares no versions; use =, !=, <, <=, >, >=, ~ or ^")]
    VersionOperator(String),
    #[error("`{0}` is no semantic version; write it as in 1.4.2")]
    Version(String),
}
