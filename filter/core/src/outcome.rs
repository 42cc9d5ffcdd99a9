//! Classifies a finished request by its effect on the version that served it.
//!
//! The judge compares versions. Responses that Envoy generates without the version (a rate limit,
//! an injected fault, a denied authorization, a missing route) are therefore not counted.

/// Outcome of a request, attributed to the version that served it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A status below 400, and gRPC status OK for gRPC.
    Success,
    /// HTTP 5xx, no response, or a gRPC status that OpenTelemetry counts as a server error.
    Error,
    /// HTTP 4xx, or a gRPC status caused by the request.
    ClientError,
    /// The client disconnected before the response was complete.
    Cancelled,
}

/// Envoy's attributes of a finished request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseInfo {
    /// `response.code`; 0 without a response.
    pub code: u64,
    /// `response.flags`: one bit for each core response flag.
    pub flags: u64,
    /// `response.grpc_status`, only for gRPC requests with HTTP status 200.
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

    /// Envoy responded before or instead of the version.
    pub(super) const DECIDED_BY_ENVOY: u64 = NO_ROUTE
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
    pub(super) const CLIENT_DISCONNECTED: u64 =
        DOWNSTREAM_TERMINATED | DOWNSTREAM_PROTOCOL_ERROR | DOWNSTREAM_RESET;
}

/// The outcome of a request, or `None` if Envoy responded without the version.
#[must_use]
pub const fn classify(response: ResponseInfo) -> Option<Outcome> {
    let ResponseInfo { code, flags, grpc_status } = response;
    if flags & flag::DECIDED_BY_ENVOY != 0 {
        return None;
    }
    // A 5xx counts as an error also if the client disconnects during the response.
    if code >= 500 {
        return Some(Outcome::Error);
    }
    if flags & flag::CLIENT_DISCONNECTED != 0 {
        return Some(Outcome::Cancelled);
    }
    Some(match (code, grpc_status) {
        // No response although the client stayed: the upstream reset, timed out or refused the
        // connection.
        (0, _) => Outcome::Error,
        (400.., _) => Outcome::ClientError,
        (_, Some(status)) => classify_grpc(status),
        (_, None) => Outcome::Success,
    })
}

/// Classifies gRPC statuses by OpenTelemetry's convention for server spans.
const fn classify_grpc(status: u64) -> Outcome {
    match status {
        0 => Outcome::Success,
        1 => Outcome::Cancelled,
        // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED,
        // FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNAUTHENTICATED
        3 | 5..=11 | 16 => Outcome::ClientError,
        // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, and values
        // that are not gRPC statuses
        _ => Outcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: u64, flags: u64, grpc_status: Option<u64>) -> Option<Outcome> {
        classify(ResponseInfo { code, flags, grpc_status })
    }

    #[test]
    fn http_statuses_are_classified() {
        assert_eq!(outcome(200, 0, None), Some(Outcome::Success));
        assert_eq!(outcome(304, 0, None), Some(Outcome::Success));
        assert_eq!(outcome(404, 0, None), Some(Outcome::ClientError));
        assert_eq!(outcome(429, 0, None), Some(Outcome::ClientError));
        assert_eq!(outcome(500, 0, None), Some(Outcome::Error));
        assert_eq!(outcome(0, 0, None), Some(Outcome::Error));
    }

    #[test]
    fn a_version_without_healthy_endpoints_is_an_error() {
        let no_healthy_upstream = 1 << 1;
        let connection_failure = 1 << 5;
        assert_eq!(outcome(503, no_healthy_upstream, None), Some(Outcome::Error));
        assert_eq!(outcome(503, connection_failure, None), Some(Outcome::Error));
    }

    #[test]
    fn responses_generated_by_envoy_are_not_counted() {
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
    fn a_client_disconnect_is_cancelled_unless_the_status_is_5xx() {
        assert_eq!(outcome(0, flag::DOWNSTREAM_TERMINATED, None), Some(Outcome::Cancelled));
        assert_eq!(outcome(200, flag::DOWNSTREAM_RESET, None), Some(Outcome::Cancelled));
        assert_eq!(outcome(500, flag::DOWNSTREAM_TERMINATED, None), Some(Outcome::Error));
    }

    #[test]
    fn grpc_statuses_are_classified_behind_http_200() {
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
