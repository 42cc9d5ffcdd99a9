//! Why a configuration cannot be routed by.

use thiserror::Error;

use crate::flags::FlagError;

/// What is wrong with a [`FilterConfig`](crate::config::FilterConfig).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum RouterError {
    #[error("the configuration is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the configuration is not what was expected: {0}")]
    Json(String),
    #[error("{field} must have 1 to {limit} bytes")]
    Length { field: String, limit: usize },
    #[error("service name `{0}` must not contain `/` or `|`: clusters are named SERVICE/VERSION")]
    ServiceName(String),
    #[error("version `{0}` must be visible ASCII: it is sent in a header")]
    Version(String),
    #[error("more than {limit} services")]
    TooManyServices { limit: usize },
    #[error("service `{service}` has more than {limit} business rules")]
    TooManyRules { service: String, limit: usize },
    #[error("service `{0}` is there twice")]
    DuplicateService(String),
    #[error("host `{0}` belongs to two services, or is there twice")]
    DuplicateHost(String),
    #[error("host `{0}` must be lower case, without port")]
    Host(String),
    #[error("`{0}` is no header or cookie name")]
    HeaderName(String),
    #[error("report interval of {0} ms; it must be 50 to 60000")]
    Interval(u32),
    #[error(
        "report cluster `{0}` happens to be a valid protobuf message, which Envoy would not take \
         for a name; call the cluster something else, for example `tidegate`"
    )]
    ReportCluster(String),
    #[error("flags: {0}")]
    Flags(#[from] FlagError),
}
