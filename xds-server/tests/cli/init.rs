//! `tidegate init`, and `tidegate envoy run` without an Envoy.

use std::fs;
use std::process::Command;

use super::{stderr, stdout, tidegate};

#[test]
fn a_configuration_is_valid_at_once_and_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.yaml");
    let path = file.to_str().unwrap();
    let services = ["order=127.0.0.1:9101,127.0.0.1:9102", "payment=127.0.0.1:9111+127.0.0.1:9112"];
    let init = |more: &[&str]| tidegate(&[&["init"], &services[..], more].concat());

    let printed = init(&[]);
    assert!(printed.status.success(), "{}", stderr(&printed));
    let written = init(&["--out", path]);
    assert!(written.status.success(), "{}", stderr(&written));
    assert!(stdout(&written).contains(&format!("tidegate serve --config {path}")));
    assert_eq!(fs::read_to_string(&file).unwrap(), stdout(&printed));
    let valid = tidegate(&["validate", path]);
    assert!(valid.status.success(), "{}", stderr(&valid));
    assert!(stdout(&valid).contains("2 services, 1 fleet, 1 listener"), "{}", stdout(&valid));

    fs::write(&file, "# mine").unwrap();
    let refused = init(&["--out", path]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine");
    assert!(init(&["--out", path, "--force"]).status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), stdout(&printed));
}

#[test]
fn all_errors_of_the_services_are_told_at_once() {
    let output = tidegate(&[
        "init",
        "or der=127.0.0.1:1",
        "pay=nowhere",
        "cart=1.2.3.4:5",
        "cart=1.2.3.4:6",
    ]);
    assert_eq!(output.status.code(), Some(1));
    for words in ["`or der`", "`pay`", "`cart` is given twice"] {
        assert!(stderr(&output).contains(words), "no {words} in {}", stderr(&output));
    }
    assert_eq!(stdout(&output), "");
}

#[test]
fn without_an_envoy_the_error_says_how_to_name_one() {
    let empty = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["envoy", "run", "--fleet", "edge"]).args(more);
        command.env_remove("TIDEGATE_ENVOY").env("PATH", empty.path()).output().unwrap()
    };
    for (more, words) in [
        (&[][..], "no `envoy` on PATH"),
        (&["--envoy", "/nowhere/envoy"], "cannot run /nowhere/envoy"),
        (&["--xds", "nowhere"], "--xds"),
    ] {
        let output = run(more);
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        assert!(stderr(&output).contains(words), "no {words} in {}", stderr(&output));
        let names_option = words == "--xds" || stderr(&output).contains("TIDEGATE_ENVOY");
        assert!(names_option, "{}", stderr(&output));
    }
}
