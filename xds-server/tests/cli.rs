//! The binary: exit codes and error messages.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

fn tidegate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(args)
        .env_remove("TIDEGATE_SERVER")
        .env_remove("TIDEGATE_CONFIG")
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
        &format!("{path}:49:16"),
        "version `v1` is already defined on line 48",
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
        let args = [args, &["--server", &server]].concat();
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

/// A server on the example.
struct Server {
    process: Child,
    api: String,
    dir: TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (xds, api) = (free(), free());
        let [xds, api] = [xds, api].map(|it| it.local_addr().unwrap().to_string());
        let text = fs::read_to_string(example()).unwrap();
        let text = text.replacen("127.0.0.1:18000", &xds, 1).replacen("127.0.0.1:8080", &api, 1);
        let text = text.lines().filter(|line| !line.starts_with("flags:"));
        let file = dir.path().join("tidegate.yaml");
        fs::write(&file, text.collect::<Vec<_>>().join("\n")).unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        serve.args(["serve", "--config"]).arg(&file).stderr(Stdio::null());
        let server = Self { process: serve.spawn().unwrap(), api: format!("http://{api}"), dir };
        server.until(&["status"], |output| output.status.success());
        server
    }

    fn run(&self, args: &[&str]) -> Output {
        tidegate(&[args, &["--server", &self.api]].concat())
    }

    /// Repeats a command; the test runner bounds the time.
    fn until(&self, args: &[&str], is_done: impl Fn(&Output) -> bool) -> Output {
        loop {
            let output = self.run(args);
            if is_done(&output) {
                return output;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.dir.path().join("tidegate.yaml")).unwrap()
    }

    /// Writes a file beside that of the server.
    fn save(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn diff_exits_with_2_if_traffic_is_taken_away() {
    let server = Server::start();
    let text = server.text();
    let same = server.save("same.yaml", &text);
    let output = server.run(&["diff", &same]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("is applied already"), "{}", stdout(&output));

    let more = text.replacen("[\"order.local\"]", "[\"order.local\", \"orders.local\"]", 1);
    let more = server.save("more.yaml", &more);
    let output = server.run(&["diff", &more]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let added = format!("{more}:37:28: host `orders.local` of `order` is added");
    assert!(stdout(&output).contains(&added), "no {added} in {}", stdout(&output));

    let mistyped = text.replacen("order.local", "ordr.local", 1);
    let mistyped = server.save("mistyped.yaml", &mistyped);
    let allow = "--allow=host:order.local";
    for args in [&["diff", &mistyped][..], &["apply", "--dry-run", "-f", &mistyped]] {
        let output = server.run(args);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let stdout_text = stdout(&output);
        for words in [
            "host `order.local` of `order` is removed: requests for `order.local` get 404",
            "mistyped.yaml:37:12",
            "--allow host:order.local",
        ] {
            assert!(stdout_text.contains(words), "no {words:?} in {stdout_text}");
        }
        let confirm = format!("tidegate apply -f {mistyped} --allow host:order.local");
        assert!(stderr(&output).contains(&confirm), "no {confirm:?} in {}", stderr(&output));
    }
    let output = server.run(&["diff", &mistyped, "-o", "json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["refused"], serde_json::json!(["host:order.local"]));

    let output = server.run(&["apply", "--dry-run", "-f", &mistyped, allow]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = server.run(&["apply", "-f", &mistyped]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = server.run(&["apply", "-f", &mistyped, allow]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let invalid = server.save("invalid.yaml", &text.replacen("[5%, 10%", "[5%, 110%", 1));
    assert_eq!(server.run(&["diff", &invalid]).status.code(), Some(1));
    assert_eq!(server.run(&["diff", "/nowhere/tidegate.yaml"]).status.code(), Some(1));
}

#[test]
fn status_names_what_the_file_takes_away_and_how_to_confirm_it() {
    let server = Server::start();
    let file = server.save("tidegate.yaml", &server.text().replacen("order.local", "o.local", 1));
    let confirm = format!("tidegate apply -f {file} --allow host:order.local");
    server.until(&["status"], |output| stdout(output).contains(&confirm));
    let applied = server.run(&["apply", "-f", &file, "--allow", "host:order.local"]);
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    server.until(&["status"], |output| !stdout(output).contains("--allow"));
}
