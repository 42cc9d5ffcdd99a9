//! What an operator does: starting as a service, backup and restore.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;

use crate::support::{Server, configure, tidegate};

#[test]
fn the_service_manager_is_notified_when_both_ports_are_served() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let socket = dir.path().join("notify");
    let notifications = UnixDatagram::bind(&socket).unwrap();
    notifications.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = tidegate();
    command.env("NOTIFY_SOCKET", &socket);
    let server = Server::start_by(command, dir.path());
    let mut state = [0; 64];
    let length = notifications.recv(&mut state).unwrap();
    assert_eq!(&state[..length], b"READY=1\n");
    kill(Pid::from_raw(server.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let length = notifications.recv(&mut state).unwrap();
    assert_eq!(&state[..length], b"STOPPING=1\n");
}

/// The way of docs/operations.md: a copy by SQLite while the server runs, which then takes the place of the journal.
#[test]
fn a_backup_made_while_the_server_runs_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let data = dir.path().join("data");
    let backup = dir.path().join("backup.db");
    let server = Server::start(dir.path());
    server.ok(&["release", "start", "order", "--version", "v2"]);
    let journal = Connection::open(data.join("journal.db")).unwrap();
    journal.execute("VACUUM INTO ?", [backup.to_str().unwrap()]).unwrap();
    drop(journal);
    server.ok(&["freeze", "start", "--reason", "after the backup"]);
    server.kill9();

    for file in ["journal.db-wal", "journal.db-shm"] {
        // They are absent after an orderly stop.
        fs::remove_file(data.join(file)).ok();
    }
    fs::copy(&backup, data.join("journal.db")).unwrap();
    let restored = Server::start(dir.path());
    restored.ok(&["audit", "verify", "--data-dir", "data"]);
    let events = restored.ok(&["audit", "list", "-o", "json"]);
    assert!(events.contains("release_started") && !events.contains("after the backup"), "{events}");
}
