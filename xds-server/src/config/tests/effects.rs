//! Hooks, DNS records and notification receivers: defaults and errors.

use super::*;
use crate::config::ReceiverUrl;
use crate::notifications::{NotificationLevel, PayloadFormat};
use tidegate_delivery::model::hook::SecretRef;

const HOOKS: &str = r#"    hooks:
      - {name: queues, on: rolled_back, url: "https://hooks.local/queues", secret_env: HOOK_SECRET}
      - {name: cache, on: switched, url: "http://10.0.0.9/cache", timeout: 3s, retries: 2, blocking: true}
  - name: product"#;
const REST: &str = r#"    active: blue
    dns:
      zone: example.org
      name: Product.example.org.
      server: "127.0.0.1:53"
      tsig: {name: tidegate, key_file: tidegate.key}
notifications:
  - {name: team, kind: slack, url_env: SLACK_URL, services: ["order"]}
  - {name: log, kind: webhook, url: "http://10.0.0.9/log", level: info, template: "{{ title }}", quiet: 1m}
"#;

/// A valid file with effects.
fn good() -> String {
    GOOD.replace("  - name: product", HOOKS).replace("    active: blue\n", REST)
}

const MISTAKES: &[Mistake] = &[
    // Notifications.
    ("kind: slack", "kind: pagerduty", "team, kind", &["routing key", "token_env or token_file"]),
    ("kind: slack", "kind: teams, token_env: T", "team, kind", &["the URL is the secret"]),
    ("kind: slack", "kind: grafana, secret_env: S", "team, kind", &["verify signatures"]),
    // Hooks.
    ("name: cache", "name: queues", "queues, on: switched", &["hook `queues` is already defined"]),
    ("http://10.0.0.9/cache", "ftp://10.0.0.9", "\"ftp://", &["not an http or https URL"]),
    ("http://10.0.0.9/cache", "http://a:b@c/", "\"http://a:b", &["a user or a password"]),
    ("timeout: 3s", "timeout: 1h", "1h", &["timeout of 1h", "300s"]),
    ("retries: 2", "retries: 99", "99", &["99 retries exceed", "at most 20"]),
    (
        "secret_env: HOOK_SECRET",
        "secret_env: A, secret_file: b",
        "b}",
        &["secret_file and secret_env exclude"],
    ),
    // DNS.
    ("zone: example.org", "zone: example.net", "Product.example.org", &["not in the zone"]),
    ("zone: example.org", "zone: ample.org", "Product.example.org", &["not in the zone"]),
    ("\"127.0.0.1:53\"", "\"ns.local:53\"", "\"ns.local", &["not an IP address and a port"]),
    (
        "zone: example.org",
        "ttl: 500ms\n      zone: example.org",
        "500ms",
        &["not a valid TTL", "whole seconds"],
    ),
    (
        "zone: example.org",
        "records: {blue: [x], green: [\"::1\"]}\n      zone: example.org",
        "x], green",
        &["`x` is not an IP address"],
    ),
    (
        "zone: example.org\n      name: Product.",
        "cname: {blue: b.local, green: g.local}\n      zone: example.org\n      name: ",
        "example.org.\n      server",
        &["cannot have a CNAME"],
    ),
    (
        "green: {endpoints: [\"127.0.0.1:9202\"]",
        "green: {endpoints: [\"green.local:9202\"]",
        "zone: example.org",
        &["`green.local` is not an IP address"],
    ),
    // Notifications.
    ("name: log", "name: team", "team, kind: webhook", &["`team` is already defined"]),
    ("url_env: SLACK_URL, ", "", "team", &["has no URL"]),
    ("services: [\"order\"]", "services: [\"ordr\"]", "\"ordr\"", &["did you mean `order`?"]),
    ("{{ title }}", "{{ titel }}", "\"{{ titel", &["the template is invalid"]),
    ("quiet: 1m", "quiet: 2days", "2days", &["at most 1day"]),
];

#[test]
fn every_mistake_is_reported_with_its_position_and_a_fix() {
    check_all(&good(), MISTAKES);
}

#[test]
fn effects_are_read_and_paths_are_relative_to_the_file() {
    let config = check(&good(), Path::new("/etc/tidegate")).unwrap();
    let [order, product] = config.services.as_slice() else { panic!("two services") };
    let [queues, cache] = order.hooks.as_slice() else { panic!("two hooks") };
    assert_eq!((queues.timeout, queues.retries), (Duration::from_secs(10), 5));
    assert_eq!(queues.secret, Some(SecretRef::Env("HOOK_SECRET".to_owned())));
    assert_eq!((cache.timeout, cache.retries, cache.blocking), (Duration::from_secs(3), 2, true));

    let dns = product.dns.as_ref().unwrap();
    assert_eq!((dns.zone.as_str(), dns.name.as_str()), ("example.org.", "product.example.org."));
    assert_eq!((dns.ttl, &dns.records), (Duration::from_secs(30), &None));
    let tsig = dns.tsig.as_ref().unwrap();
    assert_eq!(tsig.key_file, Path::new("/etc/tidegate/tidegate.key"));

    let [team, log] = config.notifications.as_slice() else { panic!("two receivers") };
    assert_eq!(team.url, ReceiverUrl::Secret(SecretRef::Env("SLACK_URL".to_owned())));
    assert_eq!((team.level, &team.format), (NotificationLevel::Warning, &PayloadFormat::Slack));
    assert!(!team.services.include(&"product".parse().unwrap()));
    assert_eq!((log.level, log.quiet), (NotificationLevel::Info, Duration::from_secs(60)));
}
