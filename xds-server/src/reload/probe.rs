//! TCP connections to endpoints, to find those that accept none. A failure is a warning only: the server may be in another
//! network than the sidecars.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::timeout;

use tidegate_delivery::model::catalogue::Endpoint;
use tidegate_delivery::model::configuration::ServiceVersion;

/// Most endpoints that are tried. All are tried at the same time.
const MAX_ENDPOINTS: usize = 64;
/// Longest time for all of them, with the resolution of their names.
pub(super) const MAX_TIME: Duration = Duration::from_secs(2);

/// Connections to endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probed {
    /// Those that accepted no connection.
    pub unreachable: Vec<Unreachable>,
    /// How many were not tried, because there are too many.
    pub skipped: usize,
}

/// An endpoint that accepted no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// Its version.
    pub version: ServiceVersion,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Why.
    pub cause: ProbeError,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The name was not resolved, or the connection was refused.
    #[error("{0}")]
    Failed(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Tries the first of the endpoints within `time`.
pub(super) async fn probe(endpoints: Vec<(ServiceVersion, Endpoint)>, time: Duration) -> Probed {
    let skipped = endpoints.len().saturating_sub(MAX_ENDPOINTS);
    let tried = endpoints.into_iter().take(MAX_ENDPOINTS).map(async |(version, endpoint)| {
        let cause = connect(&endpoint, time).await.err()?;
        Some(Unreachable { version, endpoint, cause })
    });
    let unreachable = join_all(tried).await.into_iter().flatten().collect();
    Probed { unreachable, skipped }
}

async fn connect(Endpoint { host, port }: &Endpoint, time: Duration) -> Result<(), ProbeError> {
    let connecting = TcpStream::connect((host.as_str(), *port));
    match timeout(time, connecting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(ProbeError::Failed(io::Error::to_string(&error))),
        Err(_) => Err(ProbeError::TimedOut(time)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use tidegate_delivery::fixtures::name;

    fn endpoint(host: &str, port: u16) -> (ServiceVersion, Endpoint) {
        (name("order/v1"), Endpoint { host: host.to_owned(), port })
    }

    #[tokio::test]
    async fn endpoints_that_accept_no_connection_are_found() {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = open.local_addr().map(|it| (it.port(), open)).unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let tried = vec![
            endpoint("127.0.0.1", open.0),
            endpoint("localhost", open.0),
            endpoint("127.0.0.1", closed),
            endpoint("nowhere.invalid", 80),
        ];
        let probed = probe(tried.clone(), Duration::from_secs(60)).await;
        let found: Vec<_> = probed.unreachable.iter().map(|it| it.endpoint.clone()).collect();
        assert_eq!(found, [tried[2].1.clone(), tried[3].1.clone()]);
        assert!(probed.unreachable.iter().all(|it| matches!(it.cause, ProbeError::Failed(_))));
    }

    #[tokio::test]
    async fn the_number_of_connections_is_bounded() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let probed = probe(vec![endpoint("127.0.0.1", closed); MAX_ENDPOINTS + 3], MAX_TIME).await;
        assert_eq!((probed.unreachable.len(), probed.skipped), (MAX_ENDPOINTS, 3));
    }
}
