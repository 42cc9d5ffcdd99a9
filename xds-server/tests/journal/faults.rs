//! Faults below the journal, with the real program: a full disk, a damaged file, a wrong clock. Each is reported, and no record
//! is lost.

use std::fs;
use std::process::Command;

use super::support::{Server, configure, tidegate};

/// A server with a limit on the size of its files, until [`lift`].
fn limited(dir: &std::path::Path, kilobytes: u32) -> Server {
    let mut command = Command::new("bash");
    // A write above the limit then fails, as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -S -f {kilobytes}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_tidegate")]);
    Server::start_by(command, dir)
}

fn lift(server: &Server) {
    let id = server.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status();
    assert!(lifted.unwrap().success());
}

/// A flag of 50 kB.
fn large_flag(server: &Server, dir: &std::path::Path, number: u32) -> bool {
    let variants = format!(r#"{{"a": "{number}", "b": "{}"}}"#, "x".repeat(50_000));
    let flags = format!(
        r#"{{"flags": {{"large": {{"state": "ENABLED", "variants": {variants}, "defaultVariant": "a"}}}}}}"#
    );
    fs::write(dir.join("flags.json"), flags).unwrap();
    server.run(&["flag", "set", "-f", "flags.json"]).status.success()
}

#[test]
fn on_a_full_disk_the_server_halts_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let server = limited(dir.path(), 1000);
    let full = (0..100).find(|number| !large_flag(&server, dir.path(), *number));
    let full = full.unwrap();
    assert!(full > 0, "the first flag fits");

    let before = server.ok(&["status"]);
    let refused = server.run(&["release", "start", "order", "--version", "v2"]);
    // A small event may still fit; the next large one does not.
    assert!(!refused.status.success() || !large_flag(&server, dir.path(), 999));
    let (status, body) = server.get("/readyz");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("traffic is unchanged"), "{body}");
    assert!(server.get("/metrics").1.contains("\ntidegate_halted 1\n"));
    assert_eq!(server.get("/livez").0, 200);
    if !refused.status.success() {
        assert_eq!(server.ok(&["status"]), before);
    }

    lift(&server);
    assert!(large_flag(&server, dir.path(), 1000), "decisions resume: {}", server.log());
    assert_eq!(server.get("/readyz").0, 200);
    let replayed = server.ok(&["audit", "replay", "--data-dir", "data"]);
    let verified = server.ok(&["audit", "verify"]);
    server.kill9();
    let server = Server::start(dir.path());
    assert_eq!(server.ok(&["audit", "verify"]), verified, "every confirmed record is there");
    assert_eq!(server.ok(&["audit", "replay", "--data-dir", "data"]), replayed);
}

#[test]
fn a_damaged_file_is_rejected_with_a_suggested_fix() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let server = Server::start(dir.path());
    assert!(large_flag(&server, dir.path(), 1));
    server.kill9();
    // Moves the write-ahead log into the file, then changes one byte of the file.
    let file = dir.path().join("data/journal.db");
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let large = bytes.windows(100).rposition(|window| window == [b'x'; 100]).unwrap();
    bytes[large] = b'y';
    fs::write(&file, bytes).unwrap();
    let output = tidegate()
        .args(["serve", "--config", "tidegate.yaml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    for words in ["record 4 was changed", "Restore it from a backup"] {
        assert!(stderr.contains(words), "no {words:?} in {stderr}");
    }
}

#[test]
fn a_clock_behind_the_newest_record_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    fs::create_dir(dir.path().join("data")).unwrap();
    let far = tidegate_delivery::units::Timestamp(4_000_000_000_000);
    let mut journal = tidegate::journal::Sqlite::open(&dir.path().join("data")).unwrap();
    let event = tidegate_delivery::model::event::Event::FlagDeleted { key: "a".to_owned() };
    let record =
        tidegate::journal::NewRecord { at: far, actor: "anne".to_owned(), reason: None, event };
    tidegate::journal::Journal::append(&mut journal, &[record]).unwrap();
    drop(journal);

    let server = Server::start(dir.path());
    server.ok(&["release", "start", "order", "--version", "v2"]);
    let list = server.ok(&["audit", "list"]);
    assert!(
        list.lines().skip(1).all(|line| line.contains(" 2096-")),
        "times do not decrease: {list}"
    );
    assert!(
        server.log().contains("journal time differs from the system clock"),
        "{}",
        server.log()
    );
    let metrics = server.get("/metrics").1;
    let ahead = metrics.lines().find_map(|line| line.strip_prefix("tidegate_clock_ahead_seconds "));
    assert!(ahead.unwrap().parse::<f64>().unwrap() > 1e9, "{metrics}");
    assert_eq!(server.get("/readyz").0, 200, "it still works");
}
