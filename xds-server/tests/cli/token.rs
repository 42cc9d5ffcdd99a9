//! `--token-file`: what a proxy before the API receives.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::{stderr, tidegate};

/// A proxy that refuses each request, and tells the `authorization` that came with it.
fn proxy() -> (String, Receiver<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        while let Ok((mut connection, _)) = listener.accept() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let value = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
            });
            sender.send(value).unwrap();
            let answer =
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            connection.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, receiver)
}

#[test]
fn the_token_of_the_file_is_sent_and_read_again_for_each_call() {
    let (server, received) = proxy();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let path = file.to_str().unwrap();
    for token in ["first", "second"] {
        fs::write(&file, format!("{token}\n")).unwrap();
        let output = tidegate(&["--server", &server, "--token-file", path, "flag", "list"]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(received.recv().unwrap(), Some(format!("Bearer {token}")));
        let message = stderr(&output);
        assert!(message.contains("401") && message.contains("--token-file"), "{message}");
        assert!(!message.contains(token), "{message}");
    }
    tidegate(&["--server", &server, "flag", "list"]);
    assert_eq!(received.recv().unwrap(), None, "without the option none is sent");
}

#[test]
fn a_file_without_a_token_is_an_error_before_any_request() {
    let (server, received) = proxy();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let path = file.to_str().unwrap();
    for (text, words) in [(Some("two words"), "does not hold a token"), (None, "cannot read")] {
        match text {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let output = tidegate(&["--server", &server, "--token-file", path, "status"]);
        assert_eq!(output.status.code(), Some(1));
        let message = stderr(&output);
        assert!(message.contains(words) && message.contains(path), "{message}");
    }
    assert!(received.try_recv().is_err(), "nothing was sent");
}
