//! What became of a request, as far as the version that served it is to blame.
//!
//! The judge compares versions, so what the version did not do (a rate limit, an injected fault, a
//! denied authorisation, a missing route) must not count for or against it.

/// What one finished request says about the version that served it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, with any status below 400.
    Success,
    /// The version failed it: HTTP 5xx, no response at all, or a gRPC status that blames the server.
    Error,
    /// The caller's fault: HTTP 4xx, or a gRPC status that blames the request.
    ClientError,
    /// The client gave up before it had the whole answer.
    Cancelled,
}

/// What Envoy knows of a finished request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Finished {
    /// HTTP status; 0 if there was no response.
    pub code: u64,
    /// Envoy's `response.flags`: one bit for each core response flag.
    pub flags: u64,
    /// gRPC status of a gRPC request that was answered with HTTP 200.
    pub grpc_status: Option<u64>,
}

/// Bits of `response.flags`, in the order of Envoy's `CoreResponseFlag`.
mod flag {
    pub(super) const NO_ROUTE: u64 = 1 << 8;
    pub(super) const DELAY_INJECTED: u64 = 1 << 9;
    pub(super) const FAULT_INJECTED: u64 = 1 << 10;
    pub(super) const RATE_LIMITED: u64 = 1 << 11;
    pub(super) const UNAUTHORIZED_EXTERNAL: u64 = 1 << 12;
    pub(super) const RATE_LIMIT_SERVICE_ERROR: u64 = 1 << 13;
    pub(super) const DOWNSTREAM_TERMINATED: u64 = 1 << 14;
    pub(super) const INVALID_ENVOY_HEADERS: u64 = 1 << 17;
    pub(super) const DOWNSTREAM_PROTOCOL_ERROR: u64 = 1 << 18;
    pub(super) const FROM_CACHE: u64 = 1 << 20;
    pub(super) const NO_FILTER_CONFIG: u64 = 1 << 21;
    pub(super) const NO_CLUSTER: u64 = 1 << 24;
    pub(super) const OVERLOAD_MANAGER: u64 = 1 << 25;
    pub(super) const DOWNSTREAM_RESET: u64 = 1 << 28;

    /// Decided by Envoy, before or instead of the version.
    pub(super) const NOT_THE_VERSION: u64 = NO_ROUTE
        | DELAY_INJECTED
        | FAULT_INJECTED
        | RATE_LIMITED
        | UNAUTHORIZED_EXTERNAL
        | RATE_LIMIT_SERVICE_ERROR
        | INVALID_ENVOY_HEADERS
        | FROM_CACHE
        | NO_FILTER_CONFIG
        | NO_CLUSTER
        | OVERLOAD_MANAGER;
    pub(super) const CLIENT_LEFT: u64 =
        DOWNSTREAM_TERMINATED | DOWNSTREAM_PROTOCOL_ERROR | DOWNSTREAM_RESET;
}

/// The outcome of a request, or `None` if the version had no part in it.
#[must_use]
pub const fn classify(finished: Finished) -> Option<Outcome> {
    let Finished { code, flags, grpc_status } = finished;
    if flags & flag::NOT_THE_VERSION != 0 {
        return None;
    }
    // A 5xx that had begun is the version's failure even if the client then left.
    if code >= 500 {
        return Some(Outcome::Error);
    }
    if flags & flag::CLIENT_LEFT != 0 {
        return Some(Outcome::Cancelled);
    }
    Some(match (code, grpc_status) {
        // No response, nobody left: reset, timed out or refused by the version.
        (0, _) => Outcome::Error,
        (400.., _) => Outcome::ClientError,
        (_, Some(status)) => classify_grpc(status),
        (_, None) => Outcome::Success,
    })
}

/// gRPC's own statuses; which of them blame the server is OpenTelemetry's convention.
const fn classify_grpc(status: u64) -> Outcome {
    match status {
        0 => Outcome::Success,
        1 => Outcome::Cancelled,
        // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED,
        // FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNAUTHENTICATED
        3 | 5..=11 | 16 => Outcome::ClientError,
        // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, and what is
        // no gRPC status at all
        _ => Outcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: u64, flags: u64, grpc_status: Option<u64>) -> Option<Outcome> {
        classify(Finished { code, flags, grpc_status })
    }

    #[test]
    fn http_status_decides() {
        assert_eq!(outcome(200, 0, None), Some(Outcome::Success));
        assert_eq!(outcome(304, 0, None), Some(Outcome::Success));
        assert_eq!(outcome(404, 0, None), Some(Outcome::ClientError));
        assert_eq!(outcome(429, 0, None), Some(Outcome::ClientError));
        assert_eq!(outcome(500, 0, None), Some(Outcome::Error));
        assert_eq!(outcome(0, 0, None), Some(Outcome::Error));
    }

    #[test]
    fn a_version_without_healthy_endpoints_failed() {
        let no_healthy_upstream = 1 << 1;
        let connection_failure = 1 << 5;
        assert_eq!(outcome(503, no_healthy_upstream, None), Some(Outcome::Error));
        assert_eq!(outcome(503, connection_failure, None), Some(Outcome::Error));
    }

    #[test]
    fn what_envoy_decided_is_not_counted() {
        for flags in [
            flag::NO_ROUTE,
            flag::FAULT_INJECTED,
            flag::RATE_LIMITED,
            flag::UNAUTHORIZED_EXTERNAL,
            flag::OVERLOAD_MANAGER,
        ] {
            assert_eq!(outcome(503, flags, None), None, "{flags:b}");
            assert_eq!(outcome(200, flags, None), None, "{flags:b}");
        }
    }

    #[test]
    fn a_client_that_left_blames_nobody_unless_the_version_had_failed() {
        assert_eq!(outcome(0, flag::DOWNSTREAM_TERMINATED, None), Some(Outcome::Cancelled));
        assert_eq!(outcome(200, flag::DOWNSTREAM_RESET, None), Some(Outcome::Cancelled));
        assert_eq!(outcome(500, flag::DOWNSTREAM_TERMINATED, None), Some(Outcome::Error));
    }

    #[test]
    fn grpc_status_decides_behind_http_200() {
        assert_eq!(outcome(200, 0, Some(0)), Some(Outcome::Success));
        assert_eq!(outcome(200, 0, Some(1)), Some(Outcome::Cancelled));
        for status in [3, 5, 6, 7, 8, 9, 10, 11, 16] {
            assert_eq!(outcome(200, 0, Some(status)), Some(Outcome::ClientError), "{status}");
        }
        for status in [2, 4, 12, 13, 14, 15, 17, u64::MAX] {
            assert_eq!(outcome(200, 0, Some(status)), Some(Outcome::Error), "{status}");
        }
        assert_eq!(outcome(404, 0, Some(12)), Some(Outcome::ClientError));
    }
}
