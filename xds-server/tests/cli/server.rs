//! `tidegate serve` on the example configuration, with ports of its own.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{example, stderr, stdout, tidegate};

/// A server on the example.
pub(crate) struct Server {
    process: Child,
    api: String,
    pub(crate) dir: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
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

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        tidegate(&[args, &["--server", &self.api]].concat())
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Repeats a command; the test runner bounds the time.
    pub(crate) fn until(&self, args: &[&str], is_done: impl Fn(&Output) -> bool) -> Output {
        loop {
            let output = self.run(args);
            if is_done(&output) {
                return output;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.dir.path().join("tidegate.yaml")).unwrap()
    }

    /// Writes a file beside that of the server.
    pub(crate) fn save(&self, name: &str, text: &str) -> String {
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
