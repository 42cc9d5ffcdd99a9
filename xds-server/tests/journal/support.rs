//! Runs `tidegate serve` in a directory of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A running `tidegate serve`. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    dir: PathBuf,
    api: String,
}

/// Writes the shipped example into a directory, with free ports and without its freeze windows: those follow the
/// calendar, and a release that a test starts must move on every date.
pub(crate) fn configure(dir: &Path) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/tidegate.yaml");
    let text = fs::read_to_string(example).unwrap();
    let (text, _) = text.split_once("\nfreeze:").unwrap();
    let [xds, api] = [(); 2]
        .map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string());
    fs::write(dir.join("api"), &api).unwrap();
    fs::write(dir.join("filter.wasm"), "").unwrap();
    let text = text.replacen("127.0.0.1:18000", &xds, 1).replacen("127.0.0.1:8080", &api, 1);
    let text = text.replacen("dist/tidegate_filter.wasm", "filter.wasm", 1);
    fs::write(dir.join("tidegate.yaml"), text).unwrap();
}

/// The program, without settings from the environment.
pub(crate) fn tidegate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_remove("TIDEGATE_SERVER").env_remove("TIDEGATE_CONFIG");
    command
}

impl Server {
    /// Starts a server in a directory prepared by [`configure`]. The arguments are added to `command`.
    pub(crate) fn start_by(mut command: Command, dir: &Path) -> Self {
        let log = fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        let child = command
            .args(["serve", "--config", "tidegate.yaml"])
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let api = fs::read_to_string(dir.join("api")).unwrap();
        let mut server = Self { child, dir: dir.to_owned(), api };
        while !server.run(&["status"]).status.success() {
            assert!(
                server.child.try_wait().unwrap().is_none(),
                "the server ended: {}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_by(tidegate(), dir)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs a client command with this server.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let server = format!("http://{}", self.api);
        tidegate().args(args).args(["--server", &server]).current_dir(&self.dir).output().unwrap()
    }

    /// Runs a client command that must succeed, and returns its output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// `GET` of a path: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.api);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = http.get(url).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// Waits until a condition holds, at most 30 seconds.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("timeout: {what}\n{}", self.log());
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only after the end of the process.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
