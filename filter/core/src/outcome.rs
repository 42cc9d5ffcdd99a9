//! Classifies a finished request by what its user got from the version that served it.
//!
//! The judge compares versions. Responses that Envoy generates without the version (a rate limit,
//! an injected fault, a denied authorization, a missing route) are therefore not counted, and neither
//! are statuses that Envoy makes up. What the request says does not decide how its response is judged.

/// Outcome of a request, attributed to the version that served it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A complete response with a status below 400, and gRPC status OK for gRPC.
    Success,
    /// HTTP 5xx, no response, an incomplete response, or a gRPC status that OpenTelemetry counts as a
    /// server error.
    Error,
    /// HTTP 4xx, or a gRPC status caused by the request.
    ClientError,
    /// The client disconnected before the response was complete, or Envoy ended the request because
    /// it lasted too long. Whether the version is to blame depends on its age.
    Cancelled,
}

/// A finished request, as Envoy's attributes describe it. Most methods are a host call, so
/// implementations should not prefetch.
pub trait FinishedResponse {
    /// `response.code`; 0 without a response.
    fn code(&self) -> u64;
    /// `response.flags`: one bit for each core response flag.
    fn flags(&self) -> u64;
    /// `response.code_details`: who decided about the response.
    fn code_details(&self) -> Option<Vec<u8>>;
    /// The first value of a response header.
    fn response_header(&self, name: &str) -> Option<Vec<u8>>;
    /// The first value of a response trailer.
    fn response_trailer(&self, name: &str) -> Option<Vec<u8>>;
}

/// The `response.code_details` of a response that the upstream sent.
const FROM_UPSTREAM: &[u8] = b"via_upstream";
const GRPC_STATUS: &str = "grpc-status";

/// Bits of `response.flags`, in the order of Envoy's `CoreResponseFlag`.
mod flag {
    pub(super) const FAILED_LOCAL_HEALTH_CHECK: u64 = 1;
    pub(super) const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
    pub(super) const UPSTREAM_TIMEOUT: u64 = 1 << 2;
    pub(super) const LOCAL_RESET: u64 = 1 << 3;
    pub(super) const UPSTREAM_RESET: u64 = 1 << 4;
    pub(super) const CONNECTION_FAILURE: u64 = 1 << 5;
    pub(super) const CONNECTION_TERMINATION: u64 = 1 << 6;
    pub(super) const UPSTREAM_OVERFLOW: u64 = 1 << 7;
    pub(super) const NO_ROUTE: u64 = 1 << 8;
    pub(super) const DELAY_INJECTED: u64 = 1 << 9;
    pub(super) const FAULT_INJECTED: u64 = 1 << 10;
    pub(super) const RATE_LIMITED: u64 = 1 << 11;
    pub(super) const UNAUTHORIZED_EXTERNAL: u64 = 1 << 12;
    pub(super) const RATE_LIMIT_SERVICE_ERROR: u64 = 1 << 13;
    pub(super) const DOWNSTREAM_TERMINATED: u64 = 1 << 14;
    pub(super) const STREAM_IDLE_TIMEOUT: u64 = 1 << 16;
    pub(super) const INVALID_ENVOY_HEADERS: u64 = 1 << 17;
    pub(super) const DOWNSTREAM_PROTOCOL_ERROR: u64 = 1 << 18;
    pub(super) const UPSTREAM_DURATION: u64 = 1 << 19;
    pub(super) const FROM_CACHE: u64 = 1 << 20;
    pub(super) const NO_FILTER_CONFIG: u64 = 1 << 21;
    pub(super) const DURATION_TIMEOUT: u64 = 1 << 22;
    pub(super) const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
    pub(super) const NO_CLUSTER: u64 = 1 << 24;
    pub(super) const OVERLOAD_MANAGER: u64 = 1 << 25;
    pub(super) const DNS_FAILURE: u64 = 1 << 26;
    pub(super) const DROP_OVERLOAD: u64 = 1 << 27;
    pub(super) const DOWNSTREAM_RESET: u64 = 1 << 28;
    pub(super) const UNCONDITIONAL_DROP: u64 = 1 << 29;

    /// Envoy responded before or instead of the version.
    pub(super) const DECIDED_BY_ENVOY: u64 = FAILED_LOCAL_HEALTH_CHECK
        | NO_ROUTE
        | DELAY_INJECTED
        | FAULT_INJECTED
        | RATE_LIMITED
        | UNAUTHORIZED_EXTERNAL
        | RATE_LIMIT_SERVICE_ERROR
        | INVALID_ENVOY_HEADERS
        | FROM_CACHE
        | NO_FILTER_CONFIG
        | NO_CLUSTER
        | OVERLOAD_MANAGER
        | DROP_OVERLOAD
        | UNCONDITIONAL_DROP;
    /// The version broke off. A response that had begun is incomplete, whatever its status.
    pub(super) const BROKEN: u64 = UPSTREAM_TIMEOUT
        | LOCAL_RESET
        | UPSTREAM_RESET
        | CONNECTION_FAILURE
        | CONNECTION_TERMINATION
        | UPSTREAM_DURATION
        | UPSTREAM_PROTOCOL_ERROR;
    /// The version could not be called. Envoy answers gRPC requests with status 200 then.
    pub(super) const UNREACHABLE: u64 = NO_HEALTHY_UPSTREAM | UPSTREAM_OVERFLOW | DNS_FAILURE;
    /// The client left, or Envoy ended a request that lasted too long.
    pub(super) const ENDED_EARLY: u64 = DOWNSTREAM_TERMINATED
        | DOWNSTREAM_PROTOCOL_ERROR
        | DOWNSTREAM_RESET
        | STREAM_IDLE_TIMEOUT
        | DURATION_TIMEOUT;
}

/// The outcome of a request, or `None` if Envoy responded without the version.
#[must_use]
pub fn classify(response: &impl FinishedResponse) -> Option<Outcome> {
    let (code, flags) = (response.code(), response.flags());
    if flags & flag::DECIDED_BY_ENVOY != 0 {
        return None;
    }
    // Also if the client disconnects during the response.
    if code >= 500 || flags & flag::BROKEN != 0 {
        return Some(Outcome::Error);
    }
    if code >= 400 {
        // Envoy answers with 408 to a slow client, with 413 to a large request.
        return is_from_upstream(response).then_some(Outcome::ClientError);
    }
    if flags & flag::ENDED_EARLY != 0 {
        return Some(Outcome::Cancelled);
    }
    // No response although the client stayed, or one that Envoy made up for a gRPC client.
    if code == 0 || flags & flag::UNREACHABLE != 0 {
        return Some(Outcome::Error);
    }
    classify_complete(response)
}

fn is_from_upstream(response: &impl FinishedResponse) -> bool {
    response.code_details().is_none_or(|details| details == FROM_UPSTREAM)
}

/// A complete response is gRPC by its own content type, or by its own status without one. The status
/// of gRPC-Web is in the body, except in a response without a body.
fn classify_complete(response: &impl FinishedResponse) -> Option<Outcome> {
    let content_type = response.response_header("content-type");
    let is_grpc = match content_type.as_deref() {
        None => false,
        Some(kind) if kind.starts_with(b"application/grpc-web") => false,
        Some(kind) if kind.starts_with(b"application/grpc") => true,
        Some(_) => return Some(Outcome::Success),
    };
    let own =
        response.response_trailer(GRPC_STATUS).or_else(|| response.response_header(GRPC_STATUS));
    let outcome = match own {
        Some(status) => classify_grpc(parse(&status)),
        // Every gRPC client reports a response without status as failed.
        None if is_grpc => Outcome::Error,
        None => Outcome::Success,
    };
    // Filters of Envoy answer gRPC requests with a status of theirs.
    (outcome == Outcome::Success || is_from_upstream(response)).then_some(outcome)
}

/// A value that is not a number is not a gRPC status.
fn parse(status: &[u8]) -> u64 {
    let text = std::str::from_utf8(status).ok();
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX)
}

/// Classifies gRPC statuses by OpenTelemetry's convention for server spans.
const fn classify_grpc(status: u64) -> Outcome {
    match status {
        0 => Outcome::Success,
        // CANCELLED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED,
        // RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNAUTHENTICATED
        1 | 3 | 5..=11 | 16 => Outcome::ClientError,
        // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, and values
        // that are not gRPC statuses
        _ => Outcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response of the upstream, unless `details` say otherwise.
    #[derive(Debug, Clone, Copy, Default)]
    struct Response {
        code: u64,
        flags: u64,
        details: Option<&'static str>,
        content_type: Option<&'static str>,
        status_in_header: Option<&'static str>,
        status_in_trailer: Option<&'static str>,
    }

    impl FinishedResponse for Response {
        fn code(&self) -> u64 {
            self.code
        }

        fn flags(&self) -> u64 {
            self.flags
        }

        fn code_details(&self) -> Option<Vec<u8>> {
            self.details.map(Into::into)
        }

        fn response_header(&self, name: &str) -> Option<Vec<u8>> {
            match name {
                "content-type" => self.content_type.map(Into::into),
                "grpc-status" => self.status_in_header.map(Into::into),
                other => panic!("{other}"),
            }
        }

        fn response_trailer(&self, name: &str) -> Option<Vec<u8>> {
            assert_eq!(name, "grpc-status");
            self.status_in_trailer.map(Into::into)
        }
    }

    const fn http(code: u64, flags: u64) -> Response {
        Response {
            code,
            flags,
            details: Some("via_upstream"),
            content_type: Some("application/json"),
            status_in_header: None,
            status_in_trailer: None,
        }
    }

    const fn grpc(content_type: &'static str, status: Option<&'static str>) -> Response {
        Response { content_type: Some(content_type), status_in_trailer: status, ..http(200, 0) }
    }

    const UC: u64 = 1 << 6;
    const UR: u64 = 1 << 4;
    const UT: u64 = 1 << 2;
    const UPE: u64 = 1 << 23;
    const DC: u64 = 1 << 14;
    const SI: u64 = 1 << 16;

    #[test]
    fn an_outcome_is_what_the_user_got() {
        use Outcome::{Cancelled, ClientError, Error, Success};
        let by_envoy =
            |code, flags, details| Response { details: Some(details), ..http(code, flags) };
        let table = [
            ("200", http(200, 0), Some(Success)),
            ("304", http(304, 0), Some(Success)),
            ("404", http(404, 0), Some(ClientError)),
            ("429", http(429, 0), Some(ClientError)),
            ("500", http(500, 0), Some(Error)),
            ("no response", http(0, 0), Some(Error)),
            // Incomplete responses.
            ("200 UC", http(200, UC), Some(Error)),
            ("206 UR", http(206, UR), Some(Error)),
            ("200 UT", http(200, UT), Some(Error)),
            ("200 UPE", http(200, UPE), Some(Error)),
            ("404 UR", http(404, UR), Some(Error)),
            ("200 UR, then the client leaves", http(200, UR | DC), Some(Error)),
            ("no response, UT", http(0, UT), Some(Error)),
            // The version cannot be called.
            ("503 UH", http(503, 1 << 1), Some(Error)),
            ("503 UF", http(503, 1 << 5), Some(Error)),
            // The client leaves.
            ("no response, DC", http(0, DC), Some(Cancelled)),
            ("200 DR", http(200, 1 << 28), Some(Cancelled)),
            ("500 DC", http(500, DC), Some(Error)),
            ("404 DC", http(404, DC), Some(ClientError)),
            ("200 SI", http(200, SI), Some(Cancelled)),
            ("504 SI", by_envoy(504, SI, "stream_idle_timeout"), Some(Error)),
            // Envoy answers a client that is slow or wrong.
            ("408 SI", by_envoy(408, SI, "stream_idle_timeout"), None),
            ("413", by_envoy(413, 0, "request_payload_too_large"), None),
            ("403", by_envoy(403, 0, "rbac_access_denied_matched_policy[none]"), None),
            // gRPC.
            ("gRPC 0", grpc("application/grpc", Some("0")), Some(Success)),
            ("gRPC 14", grpc("application/grpc+proto", Some("14")), Some(Error)),
            ("gRPC without status", grpc("application/grpc", None), Some(Error)),
            ("gRPC that is no number", grpc("application/grpc", Some("x")), Some(Error)),
            (
                "gRPC 14 in a response without body",
                Response { status_in_header: Some("14"), ..grpc("application/grpc", None) },
                Some(Error),
            ),
            (
                "gRPC 14 without content type",
                Response { content_type: None, ..grpc("", Some("14")) },
                Some(Error),
            ),
            ("neither", Response { content_type: None, ..http(204, 0) }, Some(Success)),
            ("gRPC-Web", grpc("application/grpc-web+proto", None), Some(Success)),
            ("gRPC-Web, text", grpc("application/grpc-web-text", None), Some(Success)),
            (
                "gRPC-Web without body",
                Response { status_in_header: Some("14"), ..grpc("application/grpc-web", None) },
                Some(Error),
            ),
            ("a status behind JSON", grpc("application/json", Some("14")), Some(Success)),
            (
                "gRPC 7 by a filter of Envoy",
                Response {
                    details: Some("rbac_access_denied"),
                    ..grpc("application/grpc", Some("7"))
                },
                None,
            ),
            (
                "gRPC 14 by Envoy, because no endpoint is healthy",
                Response {
                    details: Some("no_healthy_upstream"),
                    flags: 1 << 1,
                    ..grpc("application/grpc", Some("14"))
                },
                Some(Error),
            ),
            (
                "404 of a gRPC service",
                Response { code: 404, ..grpc("application/grpc", None) },
                Some(ClientError),
            ),
        ];
        for (name, response, outcome) in table {
            assert_eq!(classify(&response), outcome, "{name}");
        }
    }

    #[test]
    fn responses_generated_by_envoy_are_not_counted() {
        for flags in [
            flag::FAILED_LOCAL_HEALTH_CHECK,
            flag::NO_ROUTE,
            flag::FAULT_INJECTED,
            flag::RATE_LIMITED,
            flag::UNAUTHORIZED_EXTERNAL,
            flag::OVERLOAD_MANAGER,
            flag::DROP_OVERLOAD,
        ] {
            assert_eq!(classify(&http(503, flags)), None, "{flags:b}");
            assert_eq!(classify(&http(200, flags)), None, "{flags:b}");
        }
    }

    #[test]
    fn grpc_statuses_are_those_of_server_or_client() {
        for status in ["1", "3", "5", "6", "7", "8", "9", "10", "11", "16"] {
            let outcome = classify(&grpc("application/grpc", Some(status)));
            assert_eq!(outcome, Some(Outcome::ClientError), "{status}");
        }
        for status in ["2", "4", "12", "13", "14", "15", "17", "-1", ""] {
            let outcome = classify(&grpc("application/grpc", Some(status)));
            assert_eq!(outcome, Some(Outcome::Error), "{status}");
        }
    }
}
