//! Errors of compiling a filter configuration.
use thiserror::Error;

use crate::flags::FlagError;

/// An invalid [`FilterConfig`](crate::config::FilterConfig).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum RouterError {
    #[error("the configuration is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the configuration cannot be parsed: {0}")]
    Json(String),
    #[error("{field} must have 1 to {limit} bytes")]
    Length { field: String, limit: usize },
    #[error("service name `{0}` must not contain `/` or `|`: clusters are named SERVICE/VERSION")]
    ServiceName(String),
    #[error("version `{0}` must be visible ASCII, because it is sent in a header")]
    Version(String),
    #[error("more than {limit} services")]
    TooManyServices { limit: usize },
    #[error("service `{service}` has more than {limit} business rules")]
    TooManyRules { service: String, limit: usize },
    #[error("service `{0}` is listed twice")]
    DuplicateService(String),
    #[error("host `{0}` is listed twice")]
    DuplicateHost(String),
    #[error("`{0}` is not a valid header or cookie name")]
    HeaderName(String),
    #[error("report interval of {0} ms is out of range; use 50 to 60000")]
    Interval(u32),
    #[error(
        "report cluster `{0}` is also a valid protobuf message, which Envoy does not treat as a \
         cluster name; rename the cluster, for example to `tidegate`"
    )]
    ReportCluster(String),
    #[error("flags: {0}")]
    Flags(#[from] FlagError),
}
