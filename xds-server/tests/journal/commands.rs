//! Commands that write all or nothing, and commands that are repeated.

use std::fs;
use std::process::Output;

use super::support::{Server, configure};

fn rejected(output: &Output, words: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it was accepted");
    assert!(error.contains(words), "no {words:?} in {error}");
}

#[test]
fn flag_set_sets_all_flags_of_a_file_or_none() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let server = Server::start(dir.path());
    let before = server.ok(&["flag", "list"]);
    let plain = r#"{"variants": {"on": true}, "defaultVariant": "on"}"#;
    let broken = r#"{"variants": {"on": true}, "defaultVariant": "off"}"#;
    let write = |second: &str| {
        let text = format!(r#"{{"flags": {{"a1": {plain}, "a2": {second}, "a3": {plain}}}}}"#);
        fs::write(dir.path().join("flags.json"), text).unwrap();
    };
    write(broken);
    rejected(&server.run(&["flag", "set", "-f", "flags.json"]), "a2");
    assert_eq!(server.ok(&["flag", "list"]), before);
    write(plain);
    server.ok(&["flag", "set", "-f", "flags.json"]);
    let after = server.ok(&["flag", "list"]);
    assert!(["a1", "a2", "a3"].iter().all(|key| after.contains(key)), "{after}");
}

#[test]
fn unknown_services_and_checks_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let server = Server::start(dir.path());
    rejected(&server.run(&["report", "ordr"]), "`ordr`");
    rejected(&server.run(&["audit", "list", "--service", "ordr"]), "`ordr`");
    rejected(&server.run(&["audit", "export", "--service", "ordr"]), "`ordr`");
    let check = ["version", "check", "order", "v2", "--name", "tset", "--result", "passed"];
    rejected(&server.run(&check), "`tset`");
    let check = ["version", "check", "order", "v9", "--name", "tset", "--result", "passed"];
    rejected(&server.run(&check), "`v9`");
    server.ok(&["report", "order"]);
    server.ok(&["audit", "list", "--service", "order"]);
}

#[test]
fn a_repeated_rollback_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let server = Server::start(dir.path());
    server.ok(&["release", "start", "order", "--version", "v2"]);
    server.ok(&["release", "rollback", "order"]);
    let records = server.ok(&["audit", "list", "--service", "order"]);
    let repeated = server.ok(&["release", "rollback", "order", "--release", "order.1"]);
    assert!(repeated.contains("is rolled back already"), "{repeated}");
    assert_eq!(server.ok(&["audit", "list", "--service", "order"]), records);
    rejected(&server.run(&["release", "rollback", "order", "--release", "order.9"]), "order.9");
}
