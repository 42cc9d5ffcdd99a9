//! The binary: exit codes and error messages.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

mod changes;
mod formats;
mod init;
mod server;
mod simulate;
mod token;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs the program, without settings from the environment and without a terminal.
fn tidegate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(args)
        .env_remove("TIDEGATE_SERVER")
        .env_remove("TIDEGATE_CONFIG")
        .env_remove("TIDEGATE_TOKEN_FILE")
        .env_remove("TIDEGATE_OUTPUT")
        .env_remove("TIDEGATE_ENVOY")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/tidegate.yaml")
}

#[test]
fn the_example_is_valid() {
    let output = tidegate(&["validate", example().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let stdout_text = stdout(&output);
    assert!(stdout_text.contains("is valid: 6 services, 1 fleet, 1 listener"), "{stdout_text}");
}

#[test]
fn an_invalid_file_is_quoted_with_position_and_fix() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.yaml");
    let text = fs::read_to_string(example()).unwrap();
    let text = text.replacen("[5%, 10%", "[5%, 110%", 1).replacen("name: v2", "name: v1", 1);
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();

    let output = tidegate(&["validate", path]);
    assert_eq!(output.status.code(), Some(1));
    let stderr_text = stderr(&output);
    for words in [
        &format!("{path}:41:21"),
        "`110%` is over 100%",
        "write a share from 0% to 100%",
        &format!("{path}:50:16"),
        "version `v1` is already defined on line 49",
        "2 problems",
    ] {
        assert!(stderr_text.contains(words), "no {words:?} in {stderr_text}");
    }
}

#[test]
fn a_missing_file_says_which() {
    let output = tidegate(&["validate", "/nowhere/tidegate.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nowhere/tidegate.yaml"));
}

#[test]
fn serve_starts_nothing_on_a_bad_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.yaml");
    let text = fs::read_to_string(example()).unwrap().replacen("stable: v1", "stable: v9", 1);
    fs::write(&path, text).unwrap();
    let output = tidegate(&["serve", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no version `v9`"), "{}", stderr(&output));
    assert!(!dir.path().join("data").exists(), "no journal was begun");
}

#[test]
fn serve_starts_nothing_when_a_port_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = dir.path().join("tidegate.yaml");
    let text = fs::read_to_string(example()).unwrap();
    for (port, key) in [("127.0.0.1:18000", "xds"), ("127.0.0.1:8080", "api")] {
        // The other port is any that is free.
        let text = text.replacen(port, &address, 1);
        let text = text.replacen("127.0.0.1:18000", "127.0.0.1:0", 1);
        fs::write(&path, text.replacen("127.0.0.1:8080", "127.0.0.1:0", 1)).unwrap();
        let output = tidegate(&["serve", "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        let stderr_text = stderr(&output);
        for words in [&format!("cannot listen on {address}"), &format!("listen: {{{key}: …}}")] {
            assert!(stderr_text.contains(words.as_str()), "no {words:?} in {stderr_text}");
        }
        assert!(!dir.path().join("data").exists(), "no journal was begun");
    }
}

#[test]
fn usage_errors_are_errors() {
    for args in [
        &["release", "promote"][..],
        &["release", "strat", "order"],
        &["status", "--colour"],
        &["status", "-o", "xml"],
    ] {
        assert_eq!(tidegate(args).status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn an_unreachable_server_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for args in [&["status"][..], &["nodes"], &["release", "pause", "order"], &["flag", "list"]] {
        // The option is global: it may stand before the command.
        let (before, after) = (["--server", &server], ["--server", &server]);
        assert_eq!(tidegate(&[&before, args].concat()).status.code(), Some(6), "{args:?}");
        let args = [args, &after].concat();
        let output = tidegate(&args);
        assert_eq!(output.status.code(), Some(6), "{args:?}");
        let stderr_text = stderr(&output);
        for words in [&server, "is `tidegate serve` running there?", "TIDEGATE_SERVER"] {
            assert!(stderr_text.contains(words), "no {words:?} in {stderr_text}");
        }
    }
}

#[test]
fn the_schema_is_json() {
    let output = tidegate(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"]["services"].is_object());
}
