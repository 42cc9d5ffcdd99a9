//! Each mistake that can be made in a file, and how it is told.

use super::*;

/// One mistake: what is replaced in a good file by what, the text that the complaint must point at,
/// and words that it must hold.
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
    (
        "data_dir: ./data",
        "filter: {wasm: x}",
        "filter: {wasm: dist",
        &["key `filter` stands here twice"],
    ),
    ("min_requests: 40", "min_requests: many", "many", &["not a whole number"]),
    ("fleets:", "fleets: [", "- name: demo", &["only valid inside a block"]),
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
        &["listener address `127.0.0.1:10000` is there already, on line 8"],
    ),
    ("\"127.0.0.1:10001\"", "\"127.0.0.1:0\"", "\"127.0.0.1:0\"", &["port 0"]),
    // Who is there.
    (
        "{xds: \"127.0.0.1:18000\"",
        "{xds: \"0.0.0.0:18000\"",
        "\"0.0.0.0:18000\"",
        &[
            "nothing says who they are",
            "`tls: {cert, key, client_ca}`",
            "`insecure_plaintext: true`",
        ],
    ),
    (
        "{xds: \"127.0.0.1:18000\"",
        "{xds: \"[::]:18000\", insecure_plaintext: false",
        "\"[::]:18000\"",
        &["nothing says who they are"],
    ),
    (
        "{xds: \"127.0.0.1:18000\"",
        "{tls: {cert: c.pem, key: k.pem, client_ca: ca.pem}",
        "demo",
        &["nobody may be of fleet `demo`", "identities: ["],
    ),
    (
        "- name: demo",
        "- identities: [\"spiffe://example.org/*\"]\n    name: demo",
        "\"spiffe://example.org/*\"",
        &["keep nobody out", "add `tls`"],
    ),
    // Fleets and listeners.
    (
        "name: orders",
        "name: ingress",
        "ingress, address: \"127.0.0.1:10001\"",
        &["listener `ingress` is there already"],
    ),
    ("name: orders", "name: a/b", "a/b", &["`a/b` is not a name"]),
    (
        "services: [order]",
        "services: [ordr]",
        "ordr",
        &["no service `ordr`", "did you mean `order`?"],
    ),
    ("services: [order]", "services: []", "[]", &["the listener is for no service", "[\"*\"]"]),
    (
        "services: [order]",
        "services: [order, \"*\"]",
        "\"*\"]}\ndefaults",
        &["`*` is every service already"],
    ),
    ("name: demo", "name: de mo", "de mo", &["fleet `de mo` may hold only letters"]),
    // Guardrails.
    (
        "alert: 2%",
        "alert: 7%",
        "7%",
        &["alert at 7% is not below rollback at 6%", "must come before"],
    ),
    ("quantile: p95", "quantile: p42", "p42", &["not a quantile", "p99"]),
    ("quantile: p95", "warning: 11s", "11s", &["warning at 11s is not below critical at 5s"]),
    ("quantile: p95", "warning: soon", "soon", &["not a duration", "250ms"]),
    ("min_requests: 40", "min_requests: 0", "0}\n  - name: product", &["says nothing"]),
    ("false_rollback: 0.1%", "false_rollback: 0%", "0%\nservices", &["cannot be kept"]),
    ("false_rollback: 0.1%", "false_rollback: 0.001", "0.001", &["no per cent sign"]),
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
        &["`95` has no per cent sign"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, of: {method: post}, at_least: 95%}]",
        "post",
        &["`post` is no method", "capitals"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, of: {path: orders}, at_least: 95%}]",
        "orders}",
        &["`orders` is no path"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, good: {status: 299-200}, at_least: 95%}]",
        "299-200",
        &["`299-200` is no status", "200-299"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, good: {header: {name: a b, value: c}}, at_least: 95%}]",
        "a b",
        &["not the name of a header"],
    ),
    (
        "min_requests: 40",
        "business: [{name: paid, at_least: 95%}, {name: paid, at_least: 95%}]",
        "paid, at_least: 95%}]",
        &["business metric `paid` is there already"],
    ),
    // Plans.
    ("25%, 100%", "120%, 100%", "120%", &["`120%` is over 100%", "0.05%"]),
    ("25%, 100%", "5%, 100%", "5%, 100%", &["step 5% is not above the one before it, 5%"]),
    ("[5%, 25%", "[0%, 25%", "0%, 25%", &["begins there already"]),
    ("25%, 100%]", "25%]", "25%]", &["the steps end at 25%", "let the last step be 100%"]),
    ("[5%, 25%, 100%]", "[]", "[]", &["there are no steps"]),
    ("step_time: 90s", "step_time: 90", "90,", &["`90` is not a duration"]),
    ("path: /healthz", "path: healthz", "{path: healthz", &["`healthz` is not a path"]),
    ("step_time: 90s", "health: udp", "udp", &["`udp` is no health check", "tcp"]),
    ("expect: 200", "expect: 42", "{path: /healthz", &["42 is not a status"]),
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
        &["service `order` is there already, on line 15", "rename"],
    ),
    (
        "\"product.local\"",
        "\"ORDER.LOCAL\"",
        "\"ORDER.LOCAL\"",
        &["host `order.local` is there already, on line 16, for `order`"],
    ),
    (
        "[\"product.local\"]",
        "[]",
        "[]\n    strategy: {blue",
        &["no host leads to service `product`"],
    ),
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
        &["host `order.local` is there already, on line 16, for `order`"],
    ),
    ("X-User-Id", "x-tidegate-bucket", "{header", &["Tidegate's own"]),
    ("X-User-Id", "a b", "{header", &["not the name of a header"]),
    (
        "name: v2",
        "name: v1",
        "v1, endpoints: [\"127.0.0.1:9102\"",
        &["version `v1` is there already"],
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
        &["endpoint `127.0.0.1:9102` is there already"],
    ),
    ("stable: v1", "stable: v3", "v3", &["no version `v3`"]),
    ("    stable: v1\n", "", "order\n    hosts: [\"Order", &["has no `stable` version"]),
    (
        "stable: v1",
        "active: blue\n    stable: v1",
        "blue\n    stable",
        &["`active` does not go with a canary strategy", "`versions`"],
    ),
    (
        "active: blue",
        "stable: v99\n    active: blue",
        "v99",
        &["`stable` does not go with a blue_green strategy"],
    ),
    ("    active: blue\n", "", "product\n", &["which environment is `active`"]),
    ("version: v7", "version: a/b", "a/b", &["version `a/b` may hold only"]),
    // Flags.
    (
        "data_dir: ./data",
        "flags: missing.json",
        "missing.json",
        &["flags: cannot read /nowhere/missing.json"],
    ),
];

/// Line and column of the first place where `needle` stands; both from 1.
pub(super) fn position(text: &str, needle: &str) -> (u64, u64) {
    let before = &text[..text.find(needle).unwrap_or_else(|| panic!("no {needle:?}"))];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line as u64, column as u64)
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_way_out() {
    tell(GOOD, MISTAKES);
}

pub(super) fn tell(good: &str, mistakes: &[Mistake]) {
    mistakes.iter().for_each(|mistake| is_told(good, mistake));
}

fn is_told(good: &str, (old, new, needle, words): &Mistake) {
    assert!(good.contains(old), "{old:?} is in the good file");
    let text = good.replacen(old, new, 1);
    let problems = check(&text, Path::new("/nowhere")).expect_err(new);
    let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
    let [problem] = problems.as_slice() else {
        panic!("{new}: exactly one problem, not {told:#?}")
    };
    let place = (problem.place.line, problem.place.column);
    assert_eq!(place, position(&text, needle), "{new}: {told:#?}");
    for word in *words {
        assert!(told[0].contains(word), "{new}: no {word:?} in {told:#?}");
    }
    assert!(!problem.fault.way_out.is_empty(), "{new}: {told:#?}");
}
