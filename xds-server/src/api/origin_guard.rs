//! Protection against cross-site requests. A browser sends a form, or a POST without a body, from any page to any
//! address without a CORS preflight, also to an API on loopback.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::Problem;

/// The relation of the requesting page to this server, set by the browser.
const SITE: &str = "sec-fetch-site";

/// Rejects requests of other origins, except with safe methods.
pub(super) async fn reject(request: Request, next: Next) -> Result<Response, Problem> {
    if !request.method().is_safe() && is_foreign(request.headers()) {
        let detail = "the request comes from a web page of another origin; use the CLI, or a page of this server";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail));
    }
    Ok(next.run(request).await)
}

/// Clients other than browsers send neither header.
fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let is_other = |origin: &HeaderValue| match (authority(origin), host) {
        (Some(authority), Some(host)) => !authority.eq_ignore_ascii_case(host),
        _ => true,
    };
    let is_elsewhere = |site: &HeaderValue| site == "cross-site" || site == "same-site";
    headers.get_all(header::ORIGIN).iter().any(is_other)
        || headers.get_all(SITE).iter().any(is_elsewhere)
}

/// None for `null`, the origin of a sandboxed page. The scheme is ignored: a proxy may have terminated TLS.
fn authority(origin: &HeaderValue) -> Option<&[u8]> {
    let origin = origin.as_bytes();
    origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn other_clients_and_the_same_origin_are_not_foreign() {
        for pairs in [
            &[("host", "127.0.0.1:8080")][..],
            &[],
            &[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")],
            &[("host", "[::1]:8080"), ("origin", "http://[::1]:8080")],
            &[("host", "Tidegate.example"), ("origin", "https://tidegate.example")],
            &[("host", "localhost:8080"), (SITE, "same-origin")],
            &[("host", "localhost:8080"), (SITE, "none")],
        ] {
            assert!(!is_foreign(&headers(pairs)), "{pairs:?}");
        }
    }

    #[test]
    fn other_hosts_other_ports_and_null_origins_are_foreign() {
        let here = ("host", "localhost:8080");
        for pairs in [
            &[here, ("origin", "https://evil.example")][..],
            &[here, ("origin", "http://localhost:8081")],
            &[here, ("origin", "http://localhost")],
            &[here, ("origin", "http://localhost:8080.evil.example")],
            &[here, ("origin", "ftp://localhost:8080")],
            &[here, ("origin", "localhost:8080")],
            &[here, ("origin", "null")],
            &[here, ("origin", "")],
            &[("origin", "http://localhost:8080")],
            &[here, ("origin", "http://localhost:8080"), ("origin", "http://evil.example")],
            &[here, (SITE, "cross-site")],
            &[here, ("origin", "http://localhost:8080"), (SITE, "same-site")],
        ] {
            assert!(is_foreign(&headers(pairs)), "{pairs:?}");
        }
    }
}
