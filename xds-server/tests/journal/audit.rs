//! `tidegate audit`: an export can be verified with other tools, and a replay yields the state of the server.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{Server, configure, tidegate};

/// A server with a release, its rollback, and a flag.
fn server(dir: &Path) -> Server {
    configure(dir);
    let flags = r#"{"flags": {"checkout": {"state": "ENABLED", "variants": {"a": 0.1, "b": 1e16, "\"event\":{}": "ü\n"}, "defaultVariant": "a"}}}"#;
    fs::write(dir.join("flags.json"), flags).unwrap();
    let server = Server::start(dir);
    let commit = ["--commit", "6c6eb22", "--committed-at", "1h"];
    let start = ["release", "start", "order", "--version", "v2", "--actor", "anne"];
    server.ok(&[&start[..], &commit].concat());
    server
        .until("the release gets traffic", |it| it.ok(&["audit", "list"]).contains("step entered"));
    let why = r#"a "quoted", "event":{} reason"#;
    server.ok(&["release", "rollback", "order", "--actor", "anne", "--reason", why]);
    server.ok(&["flag", "set", "-f", "flags.json", "--actor", "bert"]);
    server
}

/// Runs the script of `docs/audit.md` on an export. Returns its success and its output.
fn verify_with_python(dir: &Path, export: &str) -> (bool, String) {
    let doc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let doc = fs::read_to_string(doc).unwrap();
    let (_, script) = doc.split_once("```python\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    assert!(script.lines().count() <= 25, "the script is short");
    fs::write(dir.join("verify.py"), script).unwrap();
    fs::write(dir.join("export.jsonl"), export).unwrap();
    let result =
        Command::new("python3").args(["verify.py", "export.jsonl"]).current_dir(dir).output();
    let result = result.unwrap();
    let output = [result.stdout, result.stderr].concat();
    (result.status.success(), String::from_utf8(output).unwrap())
}

#[test]
fn an_export_is_verified_by_the_documented_script() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    let verification = server.ok(&["audit", "verify"]);
    let hash = verification.trim().rsplit(' ').next().unwrap();

    let export = server.ok(&["audit", "export"]);
    let (verified, output) = verify_with_python(dir.path(), &export);
    assert!(verified && output.contains(hash), "{output}");
    let lines: Vec<_> = export.lines().collect();
    for (tampered, message) in [
        (export.replacen("anne", "eve", 1), "record 4"),
        (export.replacen("\"id\":\"6c6eb22\"", "\"id\":\"6c6eb23\"", 1), "record 4"),
        ([&lines[..3], &lines[4..]].concat().join("\n"), "record 5"),
    ] {
        let (verified, output) = verify_with_python(dir.path(), &tampered);
        assert!(!verified && output.contains(message), "{output}");
    }

    let last = format!("{}:{hash}", lines.len());
    server.ok(&["audit", "verify", "--contains", &last]);
    let foreign = format!("{}:{hash}", lines.len() - 1);
    let refused = server.run(&["audit", "verify", "--contains", &foreign]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cut off"), "{refused:?}");
}

#[test]
fn a_journal_is_read_beside_its_server_and_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    let offline = |args: &[&str]| {
        let mut command = tidegate();
        let output = command.args(args).args(["--data-dir", "data"]).current_dir(dir.path());
        let output = output.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = server.ok(&["audit", "replay", "--data-dir", "data"]);
    assert!(said.contains("folds to the server's state"), "{said}");
    let export = ["audit", "export", "--format", "csv", "--service", "order"];
    let csv = server.ok(&export);
    assert_eq!(offline(&export), csv);
    assert_eq!(offline(&["audit", "list"]), server.ok(&["audit", "list"]));
    let other = dir.path().join("other");
    let mut journal = tidegate::journal::Sqlite::open(&other).unwrap();
    let event = tidegate_delivery::model::event::Event::FlagDeleted { key: "checkout".to_owned() };
    let at = tidegate_delivery::units::Timestamp(1);
    let record = tidegate::journal::NewRecord { at, actor: "eve".to_owned(), reason: None, event };
    tidegate::journal::Journal::append(&mut journal, &[record]).unwrap();
    let refused = server.run(&["audit", "replay", "--data-dir", "other"]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("is it the journal of that server?"), "{error}");

    server.kill9();
    assert_eq!(offline(&export), csv, "after a crash");

    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(
        rows.headers().unwrap().iter().take(4).collect::<Vec<_>>(),
        ["seq", "at", "actor", "reason"]
    );
    let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
    assert!(csv.contains("\r\n") && rows.len() >= 3, "{csv}");
    assert!(rows.iter().all(|row| &row[5] == "order"), "{csv}");
    assert_eq!(&rows.last().unwrap()[3], r#"a "quoted", "event":{} reason"#);
    let rollbacks = offline(&["audit", "list", "--kind", "rolled_back", "--actor", "anne"]);
    assert_eq!(rollbacks.lines().count(), 2, "{rollbacks}");
}

#[test]
fn the_report_and_the_metrics_have_the_delivery_figures() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    let report = server.ok(&["report", "order"]);
    let row = report.lines().find(|line| line.contains("order")).unwrap();
    assert!(row.contains("100%*"), "the change failure rate is 100 %: {report}");
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        r#"tidegate_deployments_per_day{service="order"} 1.0"#,
        r#"tidegate_change_failure_ratio{service="order"} 1.0"#,
        "tidegate_journal_damaged 0",
    ] {
        assert!(metrics.lines().any(|it| it == line), "no {line} in {metrics}");
    }
}
