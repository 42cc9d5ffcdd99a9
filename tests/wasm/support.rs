//! Shared helpers of the filter's tests.

use std::sync::LazyLock;

use crate::host::{Completion, Exchange, ExchangeResult, Filter, ReportServer, Vm};
use prost::Message as _;
use serde_json::{Value, json};

static FILTER: LazyLock<Filter> = LazyLock::new(|| Filter::load().unwrap());

pub(crate) fn config() -> Value {
    json!({
        "version": "c1",
        "fleet": "demo",
        "report": {"cluster": "tidegate", "interval_ms": 250},
        "services": [{
            "name": "order", "hosts": ["order.local"],
            "identity": [{"header": "x-user-id"}, {"cookie": "sid"}],
            "salt": "order/1", "release": "r1", "versions": ["v1", "v2"],
            "business": [{
                "name": "order_success",
                "of": {"method": "POST", "path": "/orders"},
                "good": {"status": [200, 299], "header": {"name": "x-outcome", "value": "placed"}},
            }],
        }],
        "flags": {"flags": {"beta": {
            "state": "ENABLED",
            "variants": {"in": "v2", "out": ""}, "defaultVariant": "out",
            "metadata": {"service": "order"},
            "targeting": {"if": [{"==": [{"var": "headers.x-beta"}, "yes"]}, "in"]},
        }}},
    })
}

/// A VM without configuration.
pub(crate) fn vm(seed: u64) -> Vm {
    FILTER.vm(seed).unwrap()
}

/// A VM with a root that is configured with [`config`].
pub(crate) fn configured(seed: u64) -> (Vm, u32) {
    let mut vm = vm(seed);
    // `envoy.config.core.v3.Node{id: "edge-1", cluster: "demo"}`
    let node = b"\x0a\x06edge-1\x12\x04demo".to_vec();
    vm.host().properties.insert("xds.node".to_owned(), node);
    let root = vm.root(&config().to_string()).unwrap().unwrap();
    (vm, root)
}

/// A request to order.local with further headers, served by order/v1 with status 200.
pub(crate) fn exchange(headers: &[(&str, &[u8])]) -> Exchange {
    let authority: (&str, &[u8]) = (":authority", b"order.local");
    let headers = [&[authority], headers].concat();
    Exchange {
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        completion: Completion {
            cluster: Some("order/v1".to_owned()),
            code: 200,
            millis: 5,
            ..Completion::default()
        },
        reaches_filter: true,
    }
}

/// A request of user u1 with this completion.
pub(crate) fn exchange_with(completion: Completion) -> Exchange {
    let cluster = completion.cluster.or_else(|| Some("order/v1".to_owned()));
    Exchange {
        completion: Completion { cluster, ..completion },
        ..exchange(&[("x-user-id", b"u1")])
    }
}

/// All values of a request header after the filter.
pub(crate) fn values(exchanged: &ExchangeResult, name: &str) -> Vec<String> {
    exchanged
        .request
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// Ticks until all counts are reported and acknowledged.
pub(crate) fn flush_reports(vm: &mut Vm, root: u32, server: &mut ReportServer) {
    for _ in 0..3 {
        vm.tick_after(root, 10_000).unwrap();
        for call in vm.host().take_calls() {
            let response = server.receive(&call.report().unwrap());
            vm.respond(root, call.token, response.encode_to_vec()).unwrap();
        }
    }
}
