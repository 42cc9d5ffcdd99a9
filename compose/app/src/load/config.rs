//! Configuration of a load generator.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Addresses that receive the requests in turn.
    pub targets: Vec<SocketAddr>,
    /// `Host` header of every request.
    pub host: String,
    pub path: String,
    /// Requests per second, over all targets.
    pub rate: f64,
    /// Users to send requests as, in turn; 0 sends no user header. Each user sends to every target.
    pub users: u64,
    /// Header that carries the user, as `user-17`.
    pub user_header: String,
    /// Further headers of every request.
    pub headers: Vec<(String, String)>,
    /// Timeout of one request, connecting included.
    pub timeout: Duration,
    /// Limit of outstanding requests, and hence of connections. A request that is due beyond it fails without being
    /// sent.
    pub max_in_flight: u32,
    /// Whether to count responses by user and version. Takes memory for each user.
    pub track_users: bool,
}

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("a load generator needs at least one target")]
    NoTarget,
    #[error("{0} requests per second: the rate must be above 0 and at most 100000")]
    Rate(f64),
    #[error("max_in_flight must be at least 1")]
    NoSlots,
    /// A host, path or header that HTTP does not allow.
    #[error("invalid {part} {text:?}: {source}")]
    InvalidPart { part: &'static str, text: String, source: hyper::http::Error },
}

impl LoadConfig {
    /// 100 requests per second for `/`, as 1000 users named in `x-user-id`.
    #[must_use]
    pub fn new(targets: Vec<SocketAddr>, host: impl Into<String>) -> Self {
        Self {
            targets,
            host: host.into(),
            path: "/".to_owned(),
            rate: 100.0,
            users: 1000,
            user_header: "x-user-id".to_owned(),
            headers: Vec::new(),
            timeout: Duration::from_secs(15),
            max_in_flight: 2048,
            track_users: false,
        }
    }
}
