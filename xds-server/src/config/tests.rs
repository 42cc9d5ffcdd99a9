//! The whole pass, from text to configuration: what is filled in, and how each mistake is told.

mod effects;
mod gates;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::delivery::catalogue::{Environment, Guardrails};
use crate::delivery::plan::Strategy;

const GOOD: &str = r#"
listen: {xds: "127.0.0.1:18000", api: "127.0.0.1:8080"}
data_dir: ./data
filter: {wasm: dist/filter.wasm}
fleets:
  - name: demo
    listeners:
      - {name: ingress, address: "127.0.0.1:10000", services: ["*"]}
      - {name: orders, address: "127.0.0.1:10001", services: [order]}
defaults:
  guardrails:
    error_rate: {alert: 2%, rollback: 6%}
  false_rollback: 0.1%
services:
  - name: order
    hosts: ["Order.local"]
    identity: [{header: X-User-Id}, {cookie: sid}]
    strategy: {canary: {steps: [5%, 25%, 100%], step_time: 90s, min_requests: 7}}
    stable: v1
    versions:
      - {name: v1, endpoints: ["127.0.0.1:9101"]}
      - {name: v2, endpoints: ["127.0.0.1:9102", "order-b.internal:9102"]}
    guardrails: {latency: {quantile: p95}, min_requests: 40}
  - name: product
    hosts: ["product.local"]
    strategy: {blue_green: {smoke_tests: [{path: /healthz, expect: 200}]}}
    environments:
      blue: {endpoints: ["127.0.0.1:9201"]}
      green: {endpoints: ["127.0.0.1:9202"], version: v7}
    active: blue
"#;

fn good() -> Config {
    check(GOOD, Path::new("/etc/tidegate")).unwrap()
}

#[test]
fn fills_in_what_is_not_written() {
    let config = good();
    assert_eq!(config.data_dir, Path::new("/etc/tidegate/data"));
    assert_eq!(config.false_rollback.parts(), 1000);
    let [order, product] = config.services.as_slice() else { panic!("two services") };

    assert_eq!(order.hosts, ["order.local"]);
    assert_eq!(order.stable.as_str(), "v1");
    let weights: Vec<String> = order.plan.steps.iter().map(|s| s.weight.to_string()).collect();
    assert_eq!(weights, ["5%", "25%", "100%"]);
    assert_eq!(order.plan.steps[0].time, Duration::from_secs(90));
    assert_eq!(order.plan.steps[0].min_requests, 7);
    assert_eq!(order.plan.watch, Duration::from_secs(30 * 60));

    assert_eq!(product.plan.strategy, Strategy::BlueGreen);
    assert_eq!(product.plan.steps.len(), 1);
    assert_eq!(product.stable.as_str(), "blue", "named after its environment");
    assert_eq!(product.versions["v7"].environment, Some(Environment::Green));
}

#[test]
fn a_business_metric_says_which_requests_and_how_they_end_well() {
    let written = "business: [{name: paid, of: {method: POST, path: /pay*}, \
        good: {status: 200-299, header: {name: X-Outcome, value: paid}}, at_least: 99.5%}, \
        {name: answered, at_least: 90%}]";
    let text = GOOD.replace("min_requests: 40", written);
    let config = check(&text, Path::new("")).unwrap();
    let [paid, answered] = config.services[0].guardrails.business.as_slice() else {
        panic!("{config:?}");
    };
    assert_eq!((paid.of.path.as_deref(), paid.good.status), (Some("/pay*"), (200, 299)));
    assert_eq!(paid.good.header.as_ref().unwrap().name, "x-outcome");
    assert_eq!(paid.at_least.to_string(), "99.5%");
    assert_eq!((answered.of.method.as_ref(), answered.good.status), (None, (200, 399)));
    assert!(config.services[1].guardrails.business.is_empty());
}

#[test]
fn guardrails_are_overridden_field_by_field() {
    let config = good();
    let builtin = Guardrails::default();
    let order = &config.services[0].guardrails;
    assert_eq!(order.error_rate.rollback.to_string(), "6%", "the file's default");
    assert_eq!(order.latency.quantile.to_string(), "95%", "the service's own");
    assert_eq!(order.latency.rollback, builtin.latency.rollback, "the built-in one");
    assert_eq!(order.min_requests, 40);
    assert_eq!(config.services[1].guardrails.min_requests, builtin.min_requests);
}

const TLS: &str =
    r#"listen: {xds: "0.0.0.0:18000", tls: {cert: c.pem, key: /k.pem, client_ca: ca.pem}}"#;

/// [`GOOD`] with another `listen`, and identities.
fn certified(listen: &str, identities: &str) -> Result<Config, Vec<Problem>> {
    let (_, rest) = GOOD.split_once("data_dir").unwrap();
    let rest =
        rest.replacen("name: demo", &format!("name: demo\n    identities: [{identities}]"), 1);
    check(&format!("{listen}\ndata_dir{rest}"), Path::new("/etc/tidegate"))
}

#[test]
fn certificates_are_beside_the_file_and_say_who_may_be_of_a_fleet() {
    let config = certified(TLS, "\"spiffe://example.org/ns/shop/*\"").unwrap();
    let files = TlsFiles {
        cert: "/etc/tidegate/c.pem".into(),
        key: "/k.pem".into(),
        client_ca: "/etc/tidegate/ca.pem".into(),
    };
    assert_eq!(config.listen.security, Security::MutualTls(files));
    let identities = &config.mesh.fleets[0].identities;
    assert_eq!(*identities, ["spiffe://example.org/ns/shop/*".parse().unwrap()]);

    let problems = certified(TLS, "\"spiffe://example.org/*/web\"").unwrap_err();
    assert!(problems[0].to_string().contains("`*` may only stand at the end"), "{problems:?}");
    let both = TLS.replace("tls:", "insecure_plaintext: true, tls:");
    let problems = certified(&both, "\"spiffe://example.org/*\"").unwrap_err();
    assert!(problems[0].to_string().contains("exclude each other"), "{problems:?}");
}

#[test]
fn plaintext_for_others_must_be_asked_for_by_name() {
    let asked = r#"listen: {xds: "0.0.0.0:18000", insecure_plaintext: true}"#;
    assert_eq!(certified(asked, "").unwrap().listen.security, Security::Plaintext);
}

/// One mistake: what is replaced in a good file by what, the text that the complaint must point at,
/// and words that it must hold.
type Mistake = (&'static str, &'static str, &'static str, &'static [&'static str]);

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
    ("expect: 200", "expect: 42", "{path: /healthz", &["42 is not a status"]),
    // Services.
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
        &["cannot read the flags in", "missing.json"],
    ),
];

/// Line and column of the first place where `needle` stands; both from 1.
fn position(text: &str, needle: &str) -> (u64, u64) {
    let before = &text[..text.find(needle).unwrap_or_else(|| panic!("no {needle:?}"))];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line as u64, column as u64)
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_way_out() {
    tell(GOOD, MISTAKES);
}

fn tell(good: &str, mistakes: &[Mistake]) {
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

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("alert: 2%", "alert: 200%")
        .replace("stable: v1", "stable: v9")
        .replace("services: [order]", "services: [nobody]");
    let problems = check(&text, Path::new("")).unwrap_err();
    let lines: Vec<u64> = problems.iter().map(|problem| problem.place.line).collect();
    assert_eq!(lines, [9, 12, 19], "{problems:#?}");
}

#[test]
fn flags_are_read_and_their_services_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let flag = |service: &str| {
        format!(
            r#"{{"flags": {{"beta": {{"state": "ENABLED", "variants": {{"on": "v2"}},
                "defaultVariant": "on", "metadata": {{"service": "{service}"}}}}}}}}"#
        )
    };
    let text = GOOD.replace("data_dir: ./data", "flags: flags.json");
    let load = |flags: &str| {
        std::fs::write(dir.path().join("flags.json"), flags).unwrap();
        check(&text, dir.path())
    };
    assert!(load(&flag("order")).unwrap().flags.is_some());
    for (flags, words) in [
        (
            flag("ordr"),
            "flag `beta` routes service `ordr`, which is not there; did you mean `order`?",
        ),
        (flag("order").replace("\"on\": \"v2\"", ""), "flags.beta.variants"),
        ("{\n  \"flags\": oops}".to_owned(), "flags.json:2:"),
    ] {
        let problems = load(&flags).unwrap_err();
        assert_eq!(problems[0].place.line, 3);
        assert!(problems[0].to_string().contains(words), "{problems:#?}");
    }
}

#[test]
fn a_file_that_is_too_large_or_not_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tidegate.yaml");
    let error = load(&path).unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }), "{error}");
    std::fs::write(&path, "#".repeat(usize::try_from(MAX_BYTES).unwrap() + 1)).unwrap();
    let error = load(&path).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        let list = vec![alias; 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    let text = format!("{bomb}services: *a8\n");
    assert!(check(&text, Path::new("")).is_err());
    let deep = format!("services: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(check(&deep, Path::new("")).is_err());
}

#[test]
fn a_release_may_bring_a_plan_in_the_same_grammar() {
    let json = serde_json::json!({"canary": {"steps": ["1%", "100%"], "step_time": "10s"}});
    let plan = super::plan(&json).unwrap();
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.steps[0].weight.parts(), 10_000);
    let json = serde_json::json!({"canary": {"steps": ["50%", "5%"]}});
    assert_eq!(super::plan(&json).unwrap_err().len(), 2);
}

#[test]
fn a_strategy_says_how_many_sidecars_must_have_a_step() {
    for strategy in ["canary", "blue_green"] {
        let share = |strategy_of: serde_json::Value| {
            let plan = super::plan(&serde_json::json!({strategy: strategy_of}));
            plan.map(|plan| plan.convergence.share.parts())
        };
        assert_eq!(share(serde_json::json!({})).unwrap(), 1_000_000);
        let most = serde_json::json!({"convergence": {"share": "95%"}});
        assert_eq!(share(most).unwrap(), 950_000);
        let more_than_all = serde_json::json!({"convergence": {"share": "101%"}});
        assert_eq!(share(more_than_all).unwrap_err().len(), 1);
    }
}

#[test]
fn the_schema_knows_every_section() {
    let schema = serde_json::to_value(schema()).unwrap();
    for section in
        ["listen", "data_dir", "filter", "fleets", "defaults", "services", "freeze", "flags"]
    {
        assert!(schema["properties"][section].is_object(), "{section}: {schema:#}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = check(&text, Path::new("/nowhere"));
    }

    #[test]
    fn no_damage_to_a_good_file_makes_it_panic(
        at in 0..GOOD.len(),
        length in 0..40_usize,
        put in "[\\[\\]{}:,\"'&*#%|>\\- \n\t0-9a-z]{0,8}",
    ) {
        let end = (at + length).min(GOOD.len());
        let text = format!("{}{put}{}", &GOOD[..at], &GOOD[end..]);
        let problems = check(&text, Path::new("/nowhere")).err().unwrap_or_default();
        for problem in problems {
            prop_assert!(problem.place.offset <= text.len());
        }
    }
}
