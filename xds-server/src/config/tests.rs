//! Configuration from text: defaults and errors.

mod effects;
mod istio;
mod mistakes;
mod queries;
mod requirements;

use std::time::Duration;

use proptest::prelude::*;

use self::mistakes::{Mistake, check_all};
use super::*;
use crate::files::FileError;
use tidegate_core::config::{Exclusion, HeaderMatch};
use tidegate_core::routing::MAX_SERVICES;
use tidegate_delivery::judge::guardrails::{CommonMode, Guardrails, Inconclusive, WorseThanStable};
use tidegate_delivery::model::catalogue::Environment;
use tidegate_delivery::model::plan::Strategy;
use tidegate_delivery::units::Ppm;

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
    hosts: ["Order.local."]
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
fn defaults_are_filled_in() {
    let config = good();
    assert_eq!(config.data_dir, Path::new("/etc/tidegate/data"));
    let [order, product] = config.services.as_slice() else { panic!("two services") };
    assert_eq!(order.guardrails.false_rollback.parts(), 1000);

    assert_eq!(order.hosts, ["order.local".parse().unwrap()]);
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
fn hosts_are_in_normal_form() {
    let text = GOOD.replace(r#"["product.local"]"#, r#"["Product.LOCAL.", "[0:0::1]", 10.0.0.7]"#);
    let config = check(&text, Path::new("")).unwrap();
    let hosts: Vec<&str> = config.services[1].hosts.iter().map(AsRef::as_ref).collect();
    assert_eq!(hosts, ["product.local", "[::1]", "10.0.0.7"]);
}

#[test]
fn a_business_metric_matches_requests_and_good_responses() {
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
fn requests_that_are_no_evidence_are_read() {
    let written = "    evidence: {exclude: [{path: /healthz}, {prefix: /internal/}, \
        {header: {name: X-Probe, value: \"yes\"}}, {user_agent: kube-probe/}]}\n    stable: v1";
    let text = GOOD.replace("    stable: v1", written);
    let config = check(&text, Path::new("")).unwrap();
    let header = HeaderMatch { name: "x-probe".to_owned(), value: "yes".to_owned() };
    assert_eq!(
        config.services[0].excluded,
        [
            Exclusion::Path("/healthz".to_owned()),
            Exclusion::Prefix("/internal/".to_owned()),
            Exclusion::Header(header),
            Exclusion::UserAgent("kube-probe/".to_owned()),
        ]
    );
    assert!(config.services[1].excluded.is_empty());
    let many = vec!["{path: /a}"; 17].join(", ");
    let text = GOOD
        .replace("    stable: v1", &format!("    evidence: {{exclude: [{many}]}}\n    stable: v1"));
    let error = format!("{:?}", check(&text, Path::new("")).unwrap_err());
    assert!(error.contains("17 exclusions exceed the limit"), "{error}");
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

#[test]
fn the_settings_of_the_judge_are_read() {
    let written = "min_requests: 40, common_mode: rollback, inconclusive: extend 3, \
        error_rate: {worse_than_stable: hold}, client_errors: {rollback: 30%}";
    let text = GOOD
        .replace("min_requests: 40", written)
        .replace("false_rollback: 0.1%", "false_rollback: 1%");
    let config = check(&text, Path::new("")).unwrap();
    let [order, product] = config.services.as_slice() else { panic!("two services") };
    assert_eq!(order.guardrails.false_rollback, Ppm::percent(1));
    assert_eq!(order.guardrails.common_mode, CommonMode::Rollback);
    assert_eq!(order.guardrails.inconclusive, Inconclusive::Extend(3));
    assert_eq!(order.guardrails.error_rate.worse_than_stable, WorseThanStable::Hold);
    assert_eq!(order.guardrails.error_rate.rollback.to_string(), "6%", "the file's default");
    assert_eq!(order.guardrails.client_errors.rollback, Some(Ppm::percent(30)));
    assert_eq!(order.guardrails.client_errors.alert, None);
    assert_eq!(
        order.guardrails.latency.worse_than_stable,
        WorseThanStable::Hold,
        "the built-in one"
    );
    let builtin = Guardrails::default();
    assert_eq!(product.guardrails.common_mode, builtin.common_mode);
    assert_eq!(product.guardrails.inconclusive, Inconclusive::Extend(1));
    for (word, setting) in [("hold", Inconclusive::Hold), ("proceed", Inconclusive::Proceed)] {
        let text = GOOD.replace("min_requests: 40", &format!("inconclusive: {word}"));
        let config = check(&text, Path::new("")).unwrap();
        assert_eq!(config.services[0].guardrails.inconclusive, setting);
    }
}

const TLS: &str =
    r#"listen: {xds: "0.0.0.0:18000", tls: {cert: c.pem, key: /k.pem, client_ca: ca.pem}}"#;

/// [`GOOD`] with another `listen`, and identities.
fn tls(listen: &str, identities: &str) -> Result<Config, Vec<Problem>> {
    let (_, rest) = GOOD.split_once("data_dir").unwrap();
    let rest =
        rest.replacen("name: demo", &format!("name: demo\n    identities: [{identities}]"), 1);
    check(&format!("{listen}\ndata_dir{rest}"), Path::new("/etc/tidegate"))
}

#[test]
fn paths_of_certificates_are_relative_and_identities_are_read() {
    let config = tls(TLS, "\"spiffe://example.org/ns/shop/*\"").unwrap();
    let files = TlsFiles {
        cert: "/etc/tidegate/c.pem".into(),
        key: "/k.pem".into(),
        client_ca: "/etc/tidegate/ca.pem".into(),
    };
    assert_eq!(config.listen.security, Security::MutualTls(files));
    let identities = &config.identities[&config.mesh.fleets[0].name];
    assert_eq!(*identities, ["spiffe://example.org/ns/shop/*".parse().unwrap()]);

    let problems = tls(TLS, "\"spiffe://example.org/*/web\"").unwrap_err();
    assert!(problems[0].to_string().contains("`*` may only stand at the end"), "{problems:?}");
    let both = TLS.replace("tls:", "insecure_plaintext: true, tls:");
    let problems = tls(&both, "\"spiffe://example.org/*\"").unwrap_err();
    assert!(problems[0].to_string().contains("exclude each other"), "{problems:?}");
}

#[test]
fn plaintext_beyond_loopback_must_be_explicit() {
    let asked = r#"listen: {xds: "0.0.0.0:18000", insecure_plaintext: true}"#;
    assert_eq!(tls(asked, "").unwrap().listen.security, Security::Plaintext);
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("alert: 2%", "alert: 200%")
        .replace("stable: v1", "stable: v9")
        .replace("services: [order]", "services: [unknown]");
    let problems = check(&text, Path::new("")).unwrap_err();
    let lines: Vec<u64> = problems.iter().map(|problem| problem.span.line).collect();
    assert_eq!(lines, [9, 12, 19], "{problems:#?}");
}

#[test]
fn all_unknown_keys_are_reported_at_once() {
    let text = GOOD
        .replace("data_dir:", "datadir:")
        .replace("address: \"127.0.0.1:10001\"", "adress: \"127.0.0.1:10001\"")
        .replace("[5%, 25%, 100%]", "[5%, {weight: 25%, tiem: 1m}, 100%]")
        .replace("step_time: 90s", "steptime: 90s")
        .replace("{name: v1, endpoints", "{nam: v1, endpoints")
        .replace("identity: [{header: X-User-Id}", "identity: [{headr: X-User-Id}")
        .replace("strategy: {blue_green:", "strategy: {bluegreen:")
        .replace("green: {endpoints", "grean: {endpoints");
    let problems = check(&text, Path::new("")).unwrap_err();
    let expected = [
        ("datadir", "data_dir"),
        ("adress", "address"),
        ("headr", "header"),
        ("tiem", "time"),
        ("steptime", "step_time"),
        ("nam: v1", "name"),
        ("bluegreen", "blue_green"),
        ("grean", "green"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, (key, meant)) in problems.iter().zip(expected) {
        let span = (problem.span.line, problem.span.column);
        assert_eq!(span, mistakes::position(&text, key), "{problems:#?}");
        assert_eq!(problem.fault.fix, format!("did you mean `{meant}`?"));
    }
}

#[test]
fn an_unknown_key_is_reported_beside_another_mistake_in_the_shape() {
    let text = GOOD.replace("data_dir: ./data", "data_dir: [./data]");
    let text = text.replace("active: blue", "activ: blue");
    let problems = check(&text, Path::new("")).unwrap_err();
    let lines: Vec<u64> = problems.iter().map(|problem| problem.span.line).collect();
    let unknown = mistakes::position(&text, "activ: blue").0;
    assert_eq!(lines, [3, unknown], "{problems:#?}");
}

#[test]
fn an_unknown_key_under_an_alias_is_reported_where_it_is_defined() {
    let text = GOOD.replace(
        "defaults:",
        "freeze:\n  - &window {name: a, dayz: [sun]}\n  - *window\ndefaults:",
    );
    let problems = check(&text, Path::new("")).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    let span = (problem.span.line, problem.span.column);
    assert_eq!(span, mistakes::position(&text, "dayz"), "{problems:#?}");
}

#[test]
fn a_byte_order_mark_is_accepted() {
    let marked = format!("\u{feff}{GOOD}");
    let config = check(&marked, Path::new("/etc/tidegate")).unwrap();
    assert_eq!(Config { hash: good().hash, ..config }, good());
}

#[test]
fn a_syntax_error_is_reported_with_its_position() {
    let text = GOOD.replacen("services:", "services: {", 1);
    let problem = check(&text, Path::new("")).unwrap_err().remove(0);
    let Span { line, column, offset, .. } = problem.span;
    assert!(line > 1, "{problem:?}");
    let nth = |count: u64| usize::try_from(count).unwrap() - 1;
    let before: usize = text.split_inclusive('\n').take(nth(line)).map(str::len).sum();
    assert_eq!(offset, before + nth(column), "{problem:?}");
}

#[test]
fn initial_flags_are_read_and_their_services_must_exist() {
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
            "flag `beta` routes service `ordr`, which does not exist; did you mean `order`?",
        ),
        (flag("order").replace("\"on\": \"v2\"", ""), "flags.beta.variants"),
        ("{\n  \"flags\": oops}".to_owned(), "flags.json:2:"),
    ] {
        let problems = load(&flags).unwrap_err();
        assert_eq!(problems[0].span.line, 3);
        assert!(problems[0].to_string().contains(words), "{problems:#?}");
    }
}

#[test]
fn a_missing_or_too_large_file_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tidegate.yaml");
    let error = load(&path).unwrap_err();
    assert!(matches!(error, LoadError::File(FileError::Read { .. })), "{error}");
    std::fs::write(&path, "#".repeat(usize::try_from(MAX_BYTES).unwrap() + 1)).unwrap();
    let error = load(&path).unwrap_err();
    assert!(matches!(error, LoadError::File(FileError::TooLarge { .. })), "{error}");
}

#[test]
fn exponential_aliases_and_deep_nesting_are_rejected() {
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
fn the_plan_of_a_release_has_the_grammar_of_a_strategy() {
    let json = serde_json::json!({"canary": {"steps": ["1%", "100%"], "step_time": "10s"}});
    let plan = super::plan(&json).unwrap();
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.steps[0].weight.parts(), 10_000);
    let json = serde_json::json!({"canary": {"steps": ["50%", "5%"]}});
    assert_eq!(super::plan(&json).unwrap_err().len(), 2);
}

#[test]
fn a_strategy_sets_the_convergence_threshold() {
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
fn the_schema_has_every_section() {
    let schema = serde_json::to_value(schema()).unwrap();
    for section in
        ["listen", "data_dir", "filter", "fleets", "defaults", "services", "freeze", "flags"]
    {
        assert!(schema["properties"][section].is_object(), "{section}: {schema:#}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

/// The filter's limit, found before a sidecar finds it.
#[test]
fn the_number_of_services_of_a_fleet_is_limited() {
    let with = |count: usize| {
        let mut text = GOOD.split("services:\n").next().unwrap().to_owned();
        text.push_str("services:\n");
        for number in 0..count {
            let name = if number == 0 { "order".to_owned() } else { format!("s{number}") };
            text.push_str(&format!(
                "  - {{name: {name}, hosts: [{name}.local], strategy: {{canary: {{}}}}, \
                 stable: v1, versions: [{{name: v1, endpoints: [\"127.0.0.1:9101\"]}}]}}\n"
            ));
        }
        check(&text, Path::new("/nowhere"))
    };
    assert_eq!(with(MAX_SERVICES).unwrap().services.len(), MAX_SERVICES);
    let problems = with(MAX_SERVICES + 1).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.span.line, 6, "the fleet: {problem}");
    for words in ["fleet `demo`", "more than 4096 services", "divide the fleet"] {
        assert!(problem.to_string().contains(words), "{problem}");
    }
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in "\\PC*") {
        let _ = check(&text, Path::new("/nowhere"));
    }

    #[test]
    fn no_damage_to_a_valid_file_causes_a_panic(
        at in 0..GOOD.len(),
        length in 0..40_usize,
        put in "[\\[\\]{}:,\"'&*#%|>\\- \n\t0-9a-z]{0,8}",
    ) {
        let end = (at + length).min(GOOD.len());
        let text = format!("{}{put}{}", &GOOD[..at], &GOOD[end..]);
        let problems = check(&text, Path::new("/nowhere")).err().unwrap_or_default();
        for problem in problems {
            prop_assert!(problem.span.offset <= text.len());
        }
    }
}
