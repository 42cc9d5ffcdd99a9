//! Fuzz targets of the filter: its configuration, and the headers of requests.

use std::sync::LazyLock;

use serde_json::json;
use tidegate_core::config::plugin::Configuration;
use tidegate_core::config::{BUCKETS, FilterConfig};
use tidegate_core::routing::{Request, Router, SelectedRoute};

/// A request whose headers are lines of the form `name=value`.
struct HeaderLines<'a>(&'a [u8]);

impl Request for HeaderLines<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.0.split(|byte| *byte == b'\n').find_map(|line| {
            let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(value.to_vec())
        })
    }

    fn unix_seconds(&self) -> u64 {
        1_700_000_000
    }

    fn random(&self) -> [u8; 16] {
        [7; 16]
    }
}

fn decide(router: &Router, headers: &[u8]) {
    let Some(decision) = router.decide(&HeaderLines(headers)) else {
        return;
    };
    assert!(decision.bucket < BUCKETS);
    assert!(!router.service_name(decision.service).is_empty());
    if let Some(generated) = decision.generated {
        assert!(generated.set_cookie().contains(generated.as_str()));
    }
    let _ = router.release(decision.service);
}

/// Compiles a configuration. An optional request for it follows after a zero byte.
pub(crate) fn config(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let config = halves.next().unwrap_or_default();
    let _ = Configuration::parse(config);
    match Router::parse(config) {
        Ok((_, router)) => {
            let headers = halves.next().unwrap_or_default();
            decide(&router, headers);
            if let Ok(cluster) = std::str::from_utf8(headers) {
                let _ = router.version_of_cluster(cluster);
                let route = SelectedRoute { cluster, is_forged: false };
                let _ = router.istio().map(|istio| istio.decide(route, &HeaderLines(b"")));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A router whose rules read every kind of attribute.
static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let config: FilterConfig = serde_json::from_value(json!({
        "version": "1", "fleet": "demo",
        "report": {"cluster": "tidegate", "interval_ms": 250},
        "services": [{
            "name": "order", "hosts": ["order.local"], "salt": "s",
            "identity": [{"header": "x-user-id"}, {"cookie": "sid"}],
            "versions": ["v1", "v2"],
        }],
        "flags": {"flags": {"beta": {
            "state": "ENABLED",
            "variants": {"on": "v2", "off": ""},
            "defaultVariant": "off",
            "metadata": {"service": "order"},
            "targeting": {"if": [
                {"or": [
                    {"==": [{"var": "cookies.beta"}, "1"]},
                    {"starts_with": [{"var": "path"}, "/beta"]},
                    {"ends_with": [{"var": "host"}, ".beta"]},
                    {"sem_ver": [{"var": "headers.x-version"}, "^", "1.2.3"]},
                    {">": [{"var": "headers.x-age"}, 17]},
                    {"in": [{"var": "method"}, ["PUT", "POST"]]},
                ]},
                "on",
                {"fractional": [{"var": "targetingKey"}, ["on", 10], ["off", 90]]},
            ]},
        }}},
    }))
    .expect("the configuration can be read");
    Router::compile(&config).expect("the configuration compiles")
});

/// Decides a request with [`ROUTER`].
pub(crate) fn request(data: &[u8]) {
    decide(&ROUTER, data);
}
