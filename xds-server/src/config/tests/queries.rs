//! Guardrails on queries, and guardrails in a dry run.

use std::time::Duration;

use super::*;
use tidegate_delivery::judge::Guardrail;
use tidegate_delivery::judge::queries::QuerySource;

const QUERY: &str = r#"min_requests: 40, queries: [{name: age, prometheus: {url: "https://p:9090", query: "age{v=\"$candidate\"}", stable: "age{v=\"$stable\"}"}, alert: "> 30", rollback: "> 300% of stable", timeout: 2s, consecutive: 2, required: true, token_file: token}]"#;

fn with(guardrails: &str) -> String {
    GOOD.replace("min_requests: 40", guardrails)
}

#[test]
fn queries_are_read_with_their_defaults() {
    let config = check(&with(QUERY), Path::new("/etc/tidegate")).unwrap();
    let guardrails = &config.services[0].guardrails;
    let [query] = guardrails.queries.as_slice() else { panic!("one query") };
    assert_eq!((query.name.as_str(), query.interval), ("age", Duration::from_secs(15)));
    assert_eq!((query.timeout, query.consecutive), (Duration::from_secs(2), 2));
    assert!(query.required && query.source.has_stable());
    assert_eq!(query.alert.unwrap().to_string(), "> 30");
    assert_eq!(query.rollback.unwrap().to_string(), "> 300% of stable");
    assert_eq!(query.token_file.as_deref(), Some("/etc/tidegate/token"));
    assert!(guardrails.dry_run.is_empty() && config.services[1].guardrails.queries.is_empty());
    let http = r#"min_requests: 40, queries: [{name: age, http: {url: "http://q/$candidate"}, alert: "< 1", dry_run: true}]"#;
    let config = check(&with(http), Path::new("")).unwrap();
    let guardrails = &config.services[0].guardrails;
    assert!(matches!(&guardrails.queries[0].source, QuerySource::Http { stable: None, .. }));
    assert_eq!(guardrails.queries[0].consecutive, 3);
    let age = Guardrail::Query("age".parse().unwrap());
    assert_eq!(guardrails.dry_run.iter().collect::<Vec<_>>(), [&age]);
}

#[test]
fn mistakes_in_queries_have_a_fix() {
    for (from, to, message) in [
        (
            "alert: \"> 30\", rollback: \"> 300% of stable\",",
            "",
            "has no limit, so it has no effect",
        ),
        ("> 30", "30", "`30` is not a limit"),
        (", stable: \"age{v=\\\"$stable\\\"}\"", "", "compares with stable, which is not queried"),
        ("https://p:9090", "http://p:9090", "a token would be sent in the clear"),
        ("https://p:9090", "https://me:secret@p:9090", "would be displayed"),
        ("timeout: 2s", "timeout: 2m", "timeout `2m` is out of range"),
        ("timeout: 2s", "interval: 10ms", "interval `10ms` is out of range"),
        ("consecutive: 2", "consecutive: 0", "consecutive 0 is out of range"),
        ("required: true", "required: true, dry_run: true", "required and in a dry run"),
        ("required: true", "http: {url: \"http://q/\"}", "write either `prometheus` or `http`"),
        ("age{v=\\\"$candidate\\\"}", " ", "an expression has 1 to 4096 bytes"),
        ("required: true", "requird: true", "did you mean `required`?"),
    ] {
        assert!(QUERY.contains(from), "{from}");
        let problems = check(&with(&QUERY.replacen(from, to, 1)), Path::new("")).unwrap_err();
        let found = problems.iter().any(|it| it.fault.to_string().contains(message));
        assert!(found, "{message}: {problems:?}");
    }
    let one = "{name: a, http: {url: \"http://q/\"}, alert: \"> 1\"}";
    let twice = with(&format!("queries: [{one}, {one}]"));
    let problems = check(&twice, Path::new("")).unwrap_err();
    assert!(problems[0].fault.to_string().contains("already defined"), "{problems:?}");
}

#[test]
fn a_dry_run_is_overridden_guardrail_by_guardrail() {
    let written = "    latency: {dry_run: true}\n    error_rate: {dry_run: true, ";
    let defaults = GOOD.replacen("    error_rate: {", written, 1);
    assert_ne!(defaults, GOOD);
    let text = defaults
        .replace("min_requests: 40", "min_requests: 40, resources: {dry_run: true}")
        .replace("{quantile: p95}", "{quantile: p95, dry_run: false}");
    let config = check(&text, Path::new("")).unwrap();
    let names = |service: usize| {
        let dry_run = &config.services[service].guardrails.dry_run;
        dry_run.iter().map(|it| String::from(it.clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(0), ["error_rate", "cpu", "memory", "disk"]);
    assert_eq!(names(1), ["error_rate", "latency"]);
}
