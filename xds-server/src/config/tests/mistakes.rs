//! Errors of a configuration: position, message and fix of each.

use super::*;

/// One mistake: the text in a valid file that is replaced, its replacement, the text at the position
/// of the error, and parts of its message.
pub(super) type Mistake = (&'static str, &'static str, &'static str, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    // Shape.
    ("data_dir:", "datadir:", "datadir:", &["unknown key `datadir`", "did you mean `data_dir`?"]),
    (
        "    stable: v1",
        "    stabel: v1",
        "stabel",
        &["unknown key `stabel`", "did you mean `stable`?"],
    ),
    ("canary: {", "canari: {", "canari", &["`canari`", "did you mean `canary`?"]),
    ("active: blue", "active: red", "red", &["`red`", "blue, green"]),
    ("filter: {wasm: dist/filter.wasm}", "filter: {}", "{}", &["`wasm` is missing", "add `wasm:`"]),
    ("data_dir: ./data", "filter: {wasm: x}", "filter: {wasm: dist", &["key `filter` is repeated"]),
    ("min_requests: 40", "min_requests: many", "many", &["not a whole number"]),
    ("fleets:", "fleets: [", "- name: demo", &["only valid inside a block"]),
    // Holdback and rollback after completion.
    (
        "min_requests: 7}",
        "min_requests: 7, holdback: 51%}",
        "51%",
        &["51% of the clients would stay on stable", "at most 50%"],
    ),
    (
        "min_requests: 7}",
        "min_requests: 7, watch: 0s, holdback: 1%}",
        "1%}",
        &["`holdback` has no effect without a watch period"],
    ),
    ("min_requests: 7}", "min_requests: 7, holdback: some}", "some", &["`some`"]),
    (
        "min_requests: 7}",
        "min_requests: 7, rollback_after_completion: 8d}",
        "8d",
        &["is not kept for so long", "rollback_window"],
    ),
    (
        "min_requests: 7}",
        "min_requests: 7, on_fail: pause, rollback_after_completion: 1h}",
        "1h",
        &["`on_fail: pause` nothing is rolled back"],
    ),
    // Addresses.
    (
        "\"127.0.0.1:8080\"",
        "\"localhost\"",
        "\"localhost\"",
        &["not an IP address and a port", "127.0.0.1:8080"],
    ),
    (
        "\"127.0.0.1:8080\"",
        "\"127.0.0.1:18000\"",
        "\"127.0.0.1:18000\"}",
        &["both listen on 127.0.0.1:18000"],
    ),
    (
        "\"127.0.0.1:10001\"",
        "\"127.0.0.1:10000\"",
        "\"127.0.0.1:10000\", services: [order]",
        &["listener address `127.0.0.1:10000` is already defined on line 8"],
    ),
    ("\"127.0.0.1:10001\"", "\"127.0.0.1:0\"", "\"127.0.0.1:0\"", &["port 0"]),
    // Authentication.
    (
        "{xds: \"127.0.0.1:18000\"",
        "{xds: \"0.0.0.0:18000\"",
        "\"0.0.0.0:18000\"",
        &["has no authentication", "`tls: {cert, key, client_ca}`", "`insecure_plaintext: true`"],
    ),
    (
        "{xds: \"127.0.0.1:18000\"",
        "{xds: \"[::]:18000\", insecure_plaintext: false",
        "\"[::]:18000\"",
        &["has no authentication"],
    ),
    (
        "{xds: \"127.0.0.1:18000\"",
        "{tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}",
        "demo",
        &["fleet `demo` admits no sidecar", "identities: ["],
    ),
    (
        "- name: demo",
        "- identities: [\"spiffe://example.org/*\"]\n    name: demo",
        "\"spiffe://example.org/*\"",
        &["no effect", "add `tls`"],
    ),
    // Fleets and listeners.
    (
        "- name: demo",
        "- control_plane_cluster: \"\"\n    name: demo",
        "\"\"",
        &["the cluster's name is empty", "remove the key"],
    ),
    (
        "name: orders",
        "name: ingress",
        "ingress, address: \"127.0.0.1:10001\"",
        &["listener `ingress` is already defined"],
    ),
    (
        "- name: demo\n    listeners:\n      - {name: ingress,",
        "- name: service\n    listeners:\n      - {name: order,",
        "service\n    listeners",
        &["fleet `service`", "of type route are named `service/order`", "rename the fleet"],
    ),
    ("name: orders", "name: a/b", "a/b", &["`a/b` is not a listener name"]),
    (
        "services: [order]",
        "services: [ordr]",
        "ordr",
        &["no service `ordr`", "did you mean `order`?"],
    ),
    ("services: [order]", "services: []", "[]", &["the listener selects no service", "[\"*\"]"]),
    (
        "services: [order]",
        "services: [order, \"*\"]",
        "\"*\"]}\ndefaults",
        &["`*` already selects every service"],
    ),
    ("name: demo", "name: de mo", "de mo", &["fleet `de mo` may hold only letters"]),
    // Guardrails.
    (
        "alert: 2%",
        "alert: 7%",
        "7%",
        &["alert at 7% is not below rollback at 6%", "lower alert or raise rollback"],
    ),
    ("quantile: p95", "quantile: p42", "p42", &["not a measured quantile", "p99"]),
    ("quantile: p95", "warning: 11s", "11s", &["warning at 11s is not below critical at 5s"]),
    ("quantile: p95", "warning: soon", "soon", &["not a duration", "250ms"]),
    (
        "quantile: p95}, min_requests: 40",
        "quantile: p95}, common_mode: ignore",
        "ignore",
        &["not a value of `common_mode`", "`hold` or `rollback`"],
    ),
    (
        "min_requests: 40",
        "inconclusive: extend 0",
        "extend 0",
        &["not a value of `inconclusive`", "`extend N` with N from 1"],
    ),
    (
        "min_requests: 40",
        "error_rate: {worse_than_stable: ignore}",
        "ignore",
        &["not a value of `worse_than_stable`", "`rollback` or `hold`"],
    ),
    ("min_requests: 40", "min_requests: 0", "0}\n  - name: product", &["min_requests is 0"]),
    ("false_rollback: 0.1%", "false_rollback: 0%", "0%\nservices", &["out of range"]),
    ("false_rollback: 0.1%", "false_rollback: 0.001", "0.001", &["no percent sign"]),
    (
        "quantile: p95}",
        "quantile: p95}, resources: {critical: 75%}",
        "75%",
        &["warning at 80% is not below critical at 75%"],
    ),
    (
        "min_requests: 40",
        "business: [{name: order success, at_least: 95%}]",
        "order success",
        &["business metric `order success` may hold only letters"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, at_least: 95}]",
        "95}]",
        &["`95` has no percent sign"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, of: {method: post}, at_least: 95%}]",
        "post",
        &["`post` is not a method", "upper case"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, of: {path: orders}, at_least: 95%}]",
        "orders}",
        &["`orders` is not a path"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, good: {status: 299-200}, at_least: 95%}]",
        "299-200",
        &["`299-200` is not a status", "200-299"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, good: {header: {name: a b, value: c}}, at_least: 95%}]",
        "a b",
        &["not a valid header name"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, at_least: 95%}, {name: paid, at_least: 95%}]",
        "paid, at_least: 95%}]",
        &["business metric `paid` is already defined"],
    ),
    (
        "min_requests: 40",
        "client_errors: {alert: 20%, rollback: 10%}",
        "20%, rollback",
        &["alert at 20% is not below rollback at 10%"],
    ),
    (
        "min_requests: 40",
        "client_errors: {worse_than_stable: ignore}",
        "ignore",
        &["`ignore` is not a value of `worse_than_stable`"],
    ),
    // What is no evidence.
    (
        "    stable: v1",
        "    evidence: {exclude: [{path: healthz}]}\n    stable: v1",
        "healthz",
        &["`healthz` is not a path", "start it with `/`"],
    ),
    (
        "    stable: v1",
        "    evidence: {exclude: [{path: /internal/*}]}\n    stable: v1",
        "/internal/*",
        &["is not a path", "`prefix`"],
    ),
    (
        "    stable: v1",
        "    evidence: {exclude: [{path: /a, prefix: /b}]}\n    stable: v1",
        "{path: /a",
        &["exactly one of `path`, `prefix`, `header` and `user_agent`"],
    ),
    (
        "    stable: v1",
        "    evidence: {exclude: [{header: {name: a b, value: c}}]}\n    stable: v1",
        "a b",
        &["not a valid header name"],
    ),
    (
        "    stable: v1",
        "    evidence: {exclude: [{header: {name: X-Tidegate-Version, value: c}}]}\n    stable: v1",
        "X-Tidegate-Version",
        &["reserved"],
    ),
    (
        "    stable: v1",
        "    evidence: {exclude: [{user_agnt: x}]}\n    stable: v1",
        "user_agnt",
        &["unknown key `user_agnt`", "did you mean `user_agent`?"],
    ),
    // Plans.
    ("25%, 100%", "120%, 100%", "120%", &["`120%` is over 100%", "0.05%"]),
    ("25%, 100%", "5%, 100%", "5%, 100%", &["step 5% is not above the previous step, 5%"]),
    ("[5%, 25%", "[0%, 25%", "0%, 25%", &["where every release starts"]),
    ("25%, 100%]", "25%]", "25%]", &["the last step is 25%", "add 100%"]),
    ("[5%, 25%, 100%]", "[]", "[]", &["there are no steps"]),
    ("step_time: 90s", "step_time: 90", "90,", &["`90` is not a duration"]),
    ("path: /healthz", "path: healthz", "{path: healthz", &["`healthz` is not a path"]),
    ("step_time: 90s", "health: udp", "udp", &["`udp` is not a health check", "tcp"]),
    ("expect: 200", "expect: 42", "{path: /healthz", &["42 is not a final HTTP status"]),
    // Services.
    (
        "name: product",
        "name: a-service-whose-name-leaves-no-room-for-the-number-of-a-release",
        "a-service-whose",
        &["service `a-service-whose-name…` is longer than 52 bytes"],
    ),
    (
        "name: product",
        "name: order",
        "order\n    hosts: [\"product",
        &["service `order` is already defined on line 15", "rename"],
    ),
    (
        "\"product.local\"",
        "\"ORDER.LOCAL\"",
        "\"ORDER.LOCAL\"",
        &["host `order.local` is already defined on line 16 by `order`"],
    ),
    ("[\"product.local\"]", "[]", "[]\n    strategy: {blue", &["service `product` has no hosts"]),
    ("\"product.local\"", "\"http://product\"", "\"http://product\"", &["without scheme"]),
    ("\"product.local\"", "\"::1\"", "\"::1\"", &["without brackets", "write `[::1]`"]),
    (
        "\"product.local\"",
        "\"product.local:80\"",
        "\"product.local:80\"",
        &["has a port", "write `product.local`"],
    ),
    (
        "\"product.local\"",
        "\"order.local.\"",
        "\"order.local.\"",
        &["host `order.local` is already defined on line 16 by `order`"],
    ),
    ("X-User-Id", "x-tidegate-bucket", "{header", &["reserved"]),
    ("X-User-Id", "a b", "{header", &["not a valid header name"]),
    (
        "name: v2",
        "name: v1",
        "v1, endpoints: [\"127.0.0.1:9102\"",
        &["version `v1` is already defined"],
    ),
    ("[\"127.0.0.1:9101\"]", "[]", "[]", &["`v1` has no endpoints", "host:port"]),
    (
        "\"127.0.0.1:9101\"",
        "\"127.0.0.1\"",
        "\"127.0.0.1\"]",
        &["endpoint `127.0.0.1` has no port"],
    ),
    (
        "\"order-b.internal:9102\"",
        "\"127.0.0.1:9102\"",
        "\"127.0.0.1:9102\"]}\n    guard",
        &["endpoint `127.0.0.1:9102` is already defined"],
    ),
    ("stable: v1", "stable: v3", "v3", &["no version `v3`"]),
    ("    stable: v1\n", "", "order\n    hosts: [\"Order", &["has no `stable` version"]),
    (
        "stable: v1",
        "active: blue\n    stable: v1",
        "blue\n    stable",
        &["`active` does not apply to strategy `canary`", "`versions`"],
    ),
    (
        "active: blue",
        "stable: v99\n    active: blue",
        "v99",
        &["`stable` does not apply to strategy `blue_green`"],
    ),
    ("    active: blue\n", "", "product\n", &["has no `active` environment"]),
    ("version: v7", "version: a/b", "a/b", &["version `a/b` may hold only"]),
    // Flags.
    (
        "data_dir: ./data",
        "flags: missing.json",
        "missing.json",
        &["flags: cannot read /nowhere/missing.json"],
    ),
];

/// Line and column of the first occurrence of `needle`, from 1.
pub(super) fn position(text: &str, needle: &str) -> (u64, u64) {
    let before = &text[..text.find(needle).unwrap_or_else(|| panic!("no {needle:?}"))];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line as u64, column as u64)
}

#[test]
fn every_mistake_is_reported_with_its_position_and_a_fix() {
    check_all(GOOD, MISTAKES);
}

pub(super) fn check_all(good: &str, mistakes: &[Mistake]) {
    mistakes.iter().for_each(|mistake| check_one(good, mistake));
}

fn check_one(good: &str, (old, new, needle, words): &Mistake) {
    assert!(good.contains(old), "{old:?} is in the good file");
    let text = good.replacen(old, new, 1);
    let problems = check(&text, Path::new("/nowhere")).expect_err(new);
    let messages: Vec<String> = problems.iter().map(Problem::to_string).collect();
    let [problem] = problems.as_slice() else {
        panic!("{new}: exactly one problem, not {messages:#?}")
    };
    let span = (problem.span.line, problem.span.column);
    assert_eq!(span, position(&text, needle), "{new}: {messages:#?}");
    for word in *words {
        assert!(messages[0].contains(word), "{new}: no {word:?} in {messages:#?}");
    }
    assert!(!problem.fault.fix.is_empty(), "{new}: {messages:#?}");
}
