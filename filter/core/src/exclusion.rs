//! Decides which requests are not counted: those of monitoring, as the service's configuration
//! describes them, and the health checks of other Envoys.

use crate::config::Exclusion;

/// The beginning of the `user-agent` of Envoy's health checks.
const ENVOY_HEALTH_CHECK: &[u8] = b"Envoy/HC";
const USER_AGENT: &str = "user-agent";

/// Whether a request is not counted. `header` returns the first value of a request header; it is
/// called for what the exclusions need, and once for the user agent.
#[must_use]
pub fn is_excluded(exclusions: &[Exclusion], header: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
    let user_agent = header(USER_AGENT);
    let begins = |with: &[u8]| user_agent.as_ref().is_some_and(|it| it.starts_with(with));
    let needs_path = |it: &Exclusion| matches!(it, Exclusion::Path(_) | Exclusion::Prefix(_));
    let path = exclusions.iter().any(needs_path).then(|| header(":path")).flatten();
    let path = path.as_deref().and_then(|path| path.split(|byte| *byte == b'?').next());
    let matches = |exclusion: &Exclusion| match exclusion {
        Exclusion::Path(exact) => path == Some(exact.as_bytes()),
        Exclusion::Prefix(prefix) => path.is_some_and(|it| it.starts_with(prefix.as_bytes())),
        Exclusion::Header(of) => header(&of.name).is_some_and(|it| it == of.value.as_bytes()),
        Exclusion::UserAgent(prefix) => begins(prefix.as_bytes()),
    };
    begins(ENVOY_HEALTH_CHECK) || exclusions.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HeaderMatch;

    fn is_excluded_by(exclusions: &[Exclusion], headers: &[(&str, &str)]) -> bool {
        let find = |name: &str| headers.iter().find(|(known, _)| *known == name);
        is_excluded(exclusions, |name| find(name).map(|(_, value)| value.as_bytes().to_vec()))
    }

    #[test]
    fn a_request_that_one_exclusion_describes_is_not_counted() {
        let all = [
            Exclusion::Path("/healthz".into()),
            Exclusion::Prefix("/internal/".into()),
            Exclusion::Header(HeaderMatch { name: "x-probe".into(), value: "yes".into() }),
            Exclusion::UserAgent("kube-probe/".into()),
        ];
        for excluded in [
            (":path", "/healthz"),
            (":path", "/healthz?full=1"),
            (":path", "/internal/metrics"),
            ("x-probe", "yes"),
            ("user-agent", "kube-probe/1.31"),
        ] {
            assert!(is_excluded_by(&all, &[excluded]), "{excluded:?}");
            assert!(!is_excluded_by(&[], &[excluded]), "{excluded:?}");
        }
        for counted in [
            (":path", "/healthz/x"),
            (":path", "/orders?next=/internal/"),
            (":path", "/internal"),
            ("x-probe", "no"),
            ("user-agent", "Mozilla kube-probe/1.31"),
        ] {
            assert!(!is_excluded_by(&all, &[counted]), "{counted:?}");
        }
        assert!(!is_excluded_by(&all, &[]));
    }

    #[test]
    fn health_checks_of_envoy_are_never_counted() {
        assert!(is_excluded_by(&[], &[("user-agent", "Envoy/HC")]));
    }

    #[test]
    fn only_needed_headers_are_read() {
        let read = |exclusions: &[Exclusion]| {
            let names = std::cell::RefCell::new(Vec::new());
            assert!(!is_excluded(exclusions, |name| {
                names.borrow_mut().push(name.to_owned());
                None
            }));
            names.into_inner()
        };
        assert_eq!(read(&[]), ["user-agent"]);
        let paths = [Exclusion::Path("/a".into()), Exclusion::Prefix("/b".into())];
        assert_eq!(read(&paths), ["user-agent", ":path"]);
    }
}
