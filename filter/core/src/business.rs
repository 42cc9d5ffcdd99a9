//! Evaluates business metrics: whether a finished request is one that a rule counts, and whether it
//! is a good one.

use std::ops::RangeInclusive;

use crate::config::{BusinessRule, RequestMatch, ResponseMatch};

/// A finished request, as rules read it. Each header costs a host call, so implementations should
/// not prefetch.
pub trait FinishedRequest {
    /// The first value of a request header; pseudo-headers have their colon.
    fn request_header(&self, name: &str) -> Option<Vec<u8>>;
    /// The first value of a response header.
    fn response_header(&self, name: &str) -> Option<Vec<u8>>;
    /// HTTP status; 0 if there was no response.
    fn status(&self) -> u64;
}

/// Whether a request is good by the rule; `None` if the rule does not count it.
#[must_use]
pub fn evaluate(rule: &BusinessRule, request: &impl FinishedRequest) -> Option<bool> {
    matches_request(&rule.of, request).then(|| matches_response(&rule.good, request))
}

fn matches_request(of: &RequestMatch, request: &impl FinishedRequest) -> bool {
    let method = of.method.as_ref().is_none_or(|method| {
        request.request_header(":method").is_some_and(|it| it == method.as_bytes())
    });
    method
        && of.path.as_ref().is_none_or(|pattern| {
            request.request_header(":path").is_some_and(|path| matches_path(&path, pattern))
        })
}

/// Compares the path without its query. A pattern that ends with `*` matches by prefix.
fn matches_path(path: &[u8], pattern: &str) -> bool {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix.as_bytes()),
        None => path == pattern.as_bytes(),
    }
}

fn matches_response(good: &ResponseMatch, request: &impl FinishedRequest) -> bool {
    let status = u16::try_from(request.status()).unwrap_or_default();
    range(&good.status).contains(&status)
        && good.header.as_ref().is_none_or(|header| {
            request.response_header(&header.name).is_some_and(|it| it == header.value.as_bytes())
        })
}

fn range((from, to): &(u16, u16)) -> RangeInclusive<u16> {
    *from..=*to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HeaderMatch;

    struct Order {
        method: &'static str,
        path: &'static str,
        status: u64,
        outcome: Option<&'static str>,
    }

    impl FinishedRequest for Order {
        fn request_header(&self, name: &str) -> Option<Vec<u8>> {
            match name {
                ":method" => Some(self.method.into()),
                ":path" => Some(self.path.into()),
                _ => None,
            }
        }

        fn response_header(&self, name: &str) -> Option<Vec<u8>> {
            (name == "x-outcome").then_some(self.outcome?.into())
        }

        fn status(&self) -> u64 {
            self.status
        }
    }

    fn rule(path: &str, header: bool) -> BusinessRule {
        let header = header
            .then(|| HeaderMatch { name: "x-outcome".to_owned(), value: "placed".to_owned() });
        BusinessRule {
            name: "order_success".to_owned(),
            of: RequestMatch { method: Some("POST".to_owned()), path: Some(path.to_owned()) },
            good: ResponseMatch { status: (200, 299), header },
        }
    }

    const PLACED: Order =
        Order { method: "POST", path: "/orders?x=1", status: 201, outcome: Some("placed") };

    #[test]
    fn a_rule_counts_requests_by_method_and_path() {
        let rule = rule("/orders", false);
        assert_eq!(evaluate(&rule, &PLACED), Some(true));
        assert_eq!(evaluate(&rule, &Order { method: "GET", ..PLACED }), None);
        assert_eq!(evaluate(&rule, &Order { path: "/orders/7", ..PLACED }), None);
        assert_eq!(
            evaluate(&self::rule("/orders/*", false), &Order { path: "/orders/7", ..PLACED }),
            Some(true)
        );
        assert_eq!(evaluate(&self::rule("/orders/*", false), &PLACED), None);
    }

    #[test]
    fn a_request_is_good_by_status_and_header() {
        let rule = rule("/orders", true);
        assert_eq!(evaluate(&rule, &PLACED), Some(true));
        for bad in [
            Order { status: 402, ..PLACED },
            Order { status: 0, ..PLACED },
            Order { status: u64::MAX, ..PLACED },
            Order { outcome: Some("out-of-stock"), ..PLACED },
            Order { outcome: None, ..PLACED },
        ] {
            assert_eq!(evaluate(&rule, &bad), Some(false));
        }
    }
}
