//! Configurations that change a running server.

use super::server::Server;
use super::{stderr, stdout};

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
