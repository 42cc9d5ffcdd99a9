//! The output formats, and the commands for versions and releases, on a server without sidecars.

use serde_json::Value;

use super::server::Server;
use super::{stderr, stdout};

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn lists_have_the_same_formats() {
    let server = Server::start();
    let services = ["inventory", "notification", "order", "payment", "product", "user"];
    assert_eq!(lines(&server.ok(&["status", "-o", "name"])), services);
    let versions = server.ok(&["version", "list", "order", "-o", "name"]);
    assert_eq!(lines(&versions), ["order/v1", "order/v2"]);
    for list in [
        &["version", "list", "order"][..],
        &["release", "list"],
        &["release", "history", "order"],
        &["flag", "list"],
        &["nodes"],
        &["freeze", "status"],
        &["audit", "list"],
        &["report"],
        &["status"],
    ] {
        let run = |format: &str| server.ok(&[list, &["-o", format]].concat());
        let json: Value = serde_json::from_str(&run("json")).unwrap();
        // A list without entries is a comment for people only.
        let (table, wide, name) = (run("table"), run("wide"), run("name"));
        assert!(!table.trim().is_empty() && wide.len() >= table.len(), "{list:?}: {table}");
        assert!(!name.contains("SERVICE"), "{list:?}: {name}");
        let yaml = run("yaml");
        let yaml: Value =
            serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"));
        let is_moving = ["report", "status", "version"].contains(&list[0]);
        assert!(is_moving || yaml == json, "{list:?}: {yaml} {json}");
    }
    let outcome = server.ok(&["release", "start", "order", "v2", "-o", "name"]);
    assert_eq!(outcome, "order.1\n");
}

#[test]
fn a_version_is_registered_listed_and_removed() {
    let server = Server::start();
    server.ok(&["version", "set", "order", "v3", "--endpoint", "127.0.0.1:9103"]);
    let listed = server.ok(&["version", "list", "order"]);
    assert!(listed.contains("order/v3") && listed.contains("127.0.0.1:9103"), "{listed}");
    for _ in 0..2 {
        server.ok(&["version", "remove", "order", "v3"]);
    }
    assert!(!server.ok(&["version", "list", "order"]).contains("order/v3"));
    let refused = server.run(&["version", "remove", "order", "v1"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("it is the stable version"), "{}", stderr(&refused));
}

#[test]
fn releases_are_started_by_argument_or_option_and_have_a_history() {
    let server = Server::start();
    let start = ["release", "start", "order"];
    for wrong in [&["v2", "--version", "v2"][..], &[]] {
        let output = server.run(&[&start, wrong].concat());
        assert_eq!(output.status.code(), Some(1), "{wrong:?}");
        assert!(stderr(&output).contains("VERSION"), "{}", stderr(&output));
    }
    server.ok(&[&start[..], &["v2", "--actor", "anne"]].concat());
    // Neither asks: there is no terminal.
    server.ok(&["release", "abort", "order"]);
    server.ok(&[&start[..], &["--version", "v2"]].concat());
    let listed = server.ok(&["release", "list"]);
    assert!(listed.contains("order.2") && listed.contains("v2"), "{listed}");
    assert!(server.ok(&["release", "list", "payment"]).contains("no releases yet"));
    let history = server.ok(&["release", "history", "order", "-o", "name"]);
    assert_eq!(lines(&history), ["order.2", "order.1"]);
    let history = server.ok(&["release", "history", "order", "-o", "wide"]);
    for words in ["rolled back", "by an operator", "order.2", "anne"] {
        assert!(history.contains(words), "no {words} in {history}");
    }
    server.ok(&["release", "rollback", "order", "--yes"]);
    let explained = server.run(&["release", "explain", "order"]);
    assert!(stdout(&explained).contains("It was rolled back at "), "{}", stdout(&explained));
}
