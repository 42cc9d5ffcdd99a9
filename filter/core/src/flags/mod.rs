//! Feature flags in flagd's format, compiled once and evaluated without allocation (except `cat`).
//!
//! [`FlagSet`] is a compiled definition. Each targeting rule is a tree, and attributes
//! (`headers.x-beta`) are numbered across all rules, so that a caller can resolve their names when
//! it is configured instead of at every evaluation. Server and sidecar use the same code and
//! therefore agree.

mod compile;
mod context;
mod definition;
mod error;
mod rule;
mod value;
mod version;

pub use context::{AttributeId, AttributePath, EvaluationContext, JsonContext};
pub use definition::{Flag, FlagSet};
pub use error::{FlagError, FlagErrorKind};
pub use value::Value;

use serde_json::{Map, Value as Json};

/// Reason of a resolved value, as defined by OpenFeature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The flag has no targeting rule.
    Static,
    /// The rule selected the variant.
    TargetingMatch,
    /// The rule selected the variant by a pseudo-random split.
    Split,
    /// The rule evaluated to null, so the default variant is used.
    Default,
    /// The flag is disabled.
    Disabled,
    /// The rule evaluated to something that is not the name of a variant.
    Error,
}

impl Reason {
    /// OpenFeature's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Default => "DEFAULT",
            Self::Disabled => "DISABLED",
            Self::Error => "ERROR",
        }
    }
}

/// Result of evaluating a flag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlagEvaluation<'a> {
    /// Value of the variant. For `None` the caller uses its own default.
    pub value: Option<&'a Json>,
    /// Name of the variant.
    pub variant: Option<&'a str>,
    /// How the value was resolved.
    pub reason: Reason,
    /// Metadata of the set, overridden by that of the flag.
    pub metadata: &'a Map<String, Json>,
}

#[cfg(test)]
mod tests;
