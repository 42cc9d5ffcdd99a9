//! Business metrics: which requests one is about, and which of them ended well.

use std::ops::RangeInclusive;

use crate::config::{ResponseMatch, BusinessRule, RequestMatch};

/// What a rule may ask of a finished request. Each answer costs a call out of the sandbox.
pub trait Finished {
    /// The first value of a request header; pseudo-headers have their colon.
    fn request_header(&self, name: &str) -> Option<Vec<u8>>;
    /// The first value of a response header.
    fn response_header(&self, name: &str) -> Option<Vec<u8>>;
    /// HTTP status; 0 if there was no response.
    fn status(&self) -> u64;
}

/// Whether a request ended well by a rule; `None` if the rule is not about it.
#[must_use]
pub fn judge(rule: &BusinessRule, request: &impl Finished) -> Option<bool> {
    is_about(&rule.of, request).then(|| ended_well(&rule.good, request))
}

fn is_about(of: &RequestMatch, request: &impl Finished) -> bool {
    let method = of.method.as_ref().is_none_or(|method| {
        request.request_header(":method").is_some_and(|it| it == method.as_bytes())
    });
    method
        && of.path.as_ref().is_none_or(|wanted| {
            request.request_header(":path").is_some_and(|path| has_path(&path, wanted))
        })
}

/// A path that ends with `*` stands for all that begin like it. The query does not count.
fn has_path(path: &[u8], wanted: &str) -> bool {
    let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
    match wanted.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning.as_bytes()),
        None => path == wanted.as_bytes(),
    }
}

fn ended_well(good: &ResponseMatch, request: &impl Finished) -> bool {
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

    impl Finished for Order {
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
    fn a_rule_is_about_what_it_names() {
        let rule = rule("/orders", false);
        assert_eq!(judge(&rule, &PLACED), Some(true));
        assert_eq!(judge(&rule, &Order { method: "GET", ..PLACED }), None);
        assert_eq!(judge(&rule, &Order { path: "/orders/7", ..PLACED }), None);
        assert_eq!(
            judge(&self::rule("/orders/*", false), &Order { path: "/orders/7", ..PLACED }),
            Some(true)
        );
        assert_eq!(judge(&self::rule("/orders/*", false), &PLACED), None);
    }

    #[test]
    fn it_ends_well_by_status_and_header() {
        let rule = rule("/orders", true);
        assert_eq!(judge(&rule, &PLACED), Some(true));
        for bad in [
            Order { status: 402, ..PLACED },
            Order { status: 0, ..PLACED },
            Order { status: u64::MAX, ..PLACED },
            Order { outcome: Some("out-of-stock"), ..PLACED },
            Order { outcome: None, ..PLACED },
        ] {
            assert_eq!(judge(&rule, &bad), Some(false));
        }
    }
}
