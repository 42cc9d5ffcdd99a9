//! The shape of what is evidence.

use schemars::JsonSchema;
use serde::Deserialize;

use super::BusinessHeader;
use crate::config::span::Spanned;

/// Which requests are evidence.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Evidence {
    /// Requests that are no user's, such as those of monitoring: they are routed, and not counted. At
    /// most 16. Health checks of Envoy are never counted.
    pub(in crate::config) exclude: Spanned<Vec<Spanned<Exclusion>>>,
}

/// Requests that are not counted. One of the fields is set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Exclusion {
    /// The complete path without query.
    pub(in crate::config) path: Option<Spanned<String>>,
    /// The beginning of the path.
    pub(in crate::config) prefix: Option<Spanned<String>>,
    /// A request header and its value.
    pub(in crate::config) header: Option<BusinessHeader>,
    /// The beginning of the `user-agent` header.
    pub(in crate::config) user_agent: Option<Spanned<String>>,
}
