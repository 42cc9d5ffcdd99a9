//! `tidegate simulate`, with the file of its documentation.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::{stderr, tidegate};

/// The output of a command that succeeds.
fn stdout(args: &[&str]) -> String {
    let output = tidegate(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    super::stdout(&output)
}

/// The error of a command that fails.
fn failed(args: &[&str]) -> String {
    let output = tidegate(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    stderr(&output)
}

fn documented() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/simulate.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, after) = text.split_once("```yaml\n").unwrap();
    after.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_documented_file_runs() {
    let dir = TempDir::new().unwrap();
    let (file, svg) = (dir.path().join("releases.yaml"), dir.path().join("late.svg"));
    fs::write(&file, documented()).unwrap();
    let (file, svg) = (file.to_str().unwrap(), svg.to_str().unwrap());
    let run = ["simulate", file, "--runs", "2", "-o", "json", "--scenario"];
    let summaries: Value =
        serde_json::from_str(&stdout(&[&run[..], &["broken", "--svg", svg]].concat())).unwrap();
    let broken = &summaries[0];
    assert_eq!((&broken["runs"], &broken["rolled_back"]), (&2.into(), &2.into()), "{summaries:#}");
    assert!(broken["detection"]["median"].as_f64().unwrap() < 60.0, "{summaries:#}");
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg "));
    let again = stdout(&[&run[..], &["broken"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), summaries);
    let table = stdout(&["simulate", file, "--runs", "1", "--scenario", "equal"]);
    assert!(table.contains("FALSE ALARMS") && table.contains("[0.00%, 97.50%]"), "{table}");
    let unknown = failed(&["simulate", file, "--scenario", "brokn"]);
    assert!(unknown.contains("the file has equal"), "{unknown}");
}

#[test]
fn an_event_log_is_replayed_and_a_part_of_one_refused() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/journal/golden");
    let log = fs::read_dir(golden).unwrap().map(|it| it.unwrap().path());
    let log = log.into_iter().find(|it| it.extension().is_some_and(|it| it == "jsonl")).unwrap();
    let text = fs::read_to_string(&log).unwrap();
    let path = log.to_str().unwrap();
    let table = stdout(&["simulate", "--replay", path]);
    assert!(table.contains("REPLAYED") && table.contains("not judged"), "{table}");
    let dir = TempDir::new().unwrap();
    let part = dir.path().join("part.jsonl");
    let tail: Vec<&str> = text.lines().skip(3).collect();
    fs::write(&part, tail.join("\n")).unwrap();
    let refused = failed(&["simulate", "--replay", part.to_str().unwrap()]);
    assert!(refused.contains("a complete log"), "{refused}");
    fs::write(&part, "{}").unwrap();
    let refused = failed(&["simulate", "--replay", part.to_str().unwrap()]);
    assert!(refused.contains("line 1 is no record"), "{refused}");
}
