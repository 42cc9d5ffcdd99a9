//! Errors of compiling a filter configuration.
use thiserror::Error;

use crate::{flags::FlagError, upstream::UpstreamError};

/// An invalid [`FilterConfig`](crate::config::FilterConfig).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum RouterError {
    #[error("the configuration is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the configuration cannot be parsed: {0}")]
    Json(String),
    #[error("it needs filter protocol {needed}, and this filter has {supported}")]
    Protocol { needed: u32, supported: u32 },
    #[error("{field} must have 1 to {limit} bytes")]
    Length { field: String, limit: usize },
    #[error("service name `{0}` must not contain `/` or `|`: clusters are named SERVICE/VERSION")]
    ServiceName(String),
    #[error("version `{version}` of `{service}` is not visible ASCII, as headers require")]
    Version { service: String, version: String },
    #[error("more than {limit} services")]
    TooManyServices { limit: usize },
    #[error("service `{service}` has more than {limit} business rules")]
    TooManyRules { service: String, limit: usize },
    #[error("service `{service}` excludes more than {limit} kinds of requests")]
    TooManyExclusions { service: String, limit: usize },
    #[error("service `{0}` is listed twice")]
    DuplicateService(String),
    #[error("host `{0}` is listed twice")]
    DuplicateHost(String),
    #[error("`{name}` of service `{service}` is not a valid header or cookie name")]
    HeaderName { service: String, name: String },
    #[error("report interval of {0} ms is out of range")]
    Interval(u32),
    #[error("report cluster: {0}")]
    ReportCluster(#[from] UpstreamError),
    #[error("service `{0}` of the Istio mesh is not in `services`")]
    UnknownService(String),
    #[error("cluster `{0}` serves two services or versions")]
    DuplicateTarget(String),
    #[error("the split of `{0}` does not divide all buckets between its versions")]
    Split(String),
    #[error("flags: {0}")]
    Flags(#[from] FlagError),
}

impl RouterError {
    /// What to change.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => {
                "route to fewer services in one fleet, or remove old flags and versions"
            }
            Self::Json(_) | Self::UnknownService(_) | Self::Split(_) => {
                "the server and the filter must be of the same release"
            }
            Self::Protocol { .. } => "update the filter",
            Self::Length { .. } | Self::ServiceName(_) | Self::Version { .. } => {
                "choose another name"
            }
            Self::TooManyServices { .. } => {
                "list fewer services in the fleet's listeners, or divide the fleet"
            }
            Self::TooManyRules { .. } => "remove some of its business metrics",
            Self::TooManyExclusions { .. } => "remove some of its exclusions",
            Self::DuplicateService(_) | Self::DuplicateHost(_) => "remove or rename one of the two",
            Self::HeaderName { .. } => "use letters, digits and `-`, such as x-user-id",
            Self::Interval(_) => "use 50 to 60000",
            Self::ReportCluster(_) => "rename the cluster, for example to `tidegate`",
            Self::DuplicateTarget(_) => "give each version another subset or host",
            Self::Flags(_) => "correct this flag, or remove it",
        }
    }

    /// The service that is invalid, if it is one.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::ServiceName(service)
            | Self::Version { service, .. }
            | Self::TooManyRules { service, .. }
            | Self::TooManyExclusions { service, .. }
            | Self::DuplicateService(service)
            | Self::UnknownService(service)
            | Self::Split(service)
            | Self::HeaderName { service, .. } => Some(service),
            _ => None,
        }
    }
}
