//! What a load does, and why it may be refused.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

/// What to ask, where, and how often.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Whom to ask, in turn: several Envoys share one load.
    pub targets: Vec<SocketAddr>,
    /// The `Host` to ask for.
    pub host: String,
    /// The path to ask for.
    pub path: String,
    /// Requests per second, over all targets.
    pub rate: f64,
    /// How many users take turns; 0 sends no user header. Each user visits every target.
    pub users: u64,
    /// The header that carries the user, as `user-17`.
    pub user_header: String,
    /// Headers on every request.
    pub headers: Vec<(String, String)>,
    /// A request that takes longer has failed.
    pub timeout: Duration,
    /// Requests outstanding at once, which bounds the connections too. One that is due beyond it fails unsent.
    pub max_in_flight: u32,
    /// Whether to remember which versions answered each user. Costs memory by the user.
    pub track_users: bool,
}

/// Why a load cannot start.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is nobody to ask.
    #[error("a load needs at least one target")]
    NoTarget,
    /// The rate is not one that a clock can keep.
    #[error("{0} requests per second: the rate must lie above 0 and not above 100000")]
    Rate(f64),
    /// At least one request must fit.
    #[error("max_in_flight must be at least 1")]
    NoRoom,
    /// A host, path or header that HTTP does not allow.
    #[error("{what} {text:?} cannot be sent: {source}")]
    Unsendable {
        /// Which part of the request.
        what: &'static str,
        /// What it was set to.
        text: String,
        /// What HTTP says.
        source: hyper::http::Error,
    },
}

impl LoadConfig {
    /// 100 requests per second for `/`, by 1000 users named in `x-user-id`.
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
