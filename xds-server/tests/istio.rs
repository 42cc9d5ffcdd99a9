//! The commands for an Istio mesh, from the keys that the server creates to a registry.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests: a panic is a failed test, with its line"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use tidegate::istio::tokens::KeyStore;

const CONFIG: &str = r#"
filter: {wasm: filter.wasm}
fleets: [{name: mesh, istio: {}}]
services:
  - name: order
    istio: {host: order.default.svc.cluster.local, port: 80}
    strategy: {canary: {}}
    stable: v1
    versions: [{name: v1, istio: {subset: v1}}, {name: v2, istio: {subset: v2}}]
"#;
const IMAGE: &str = "oci://registry.example.com/filter@sha256:0d00f61cb3c6112eb3ca898957ad586cf1f090a478c1ef45cc7f0235ff054256";

/// A configuration, and a data directory with keys.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tidegate.yaml"), CONFIG).unwrap();
        fs::write(dir.path().join("filter.wasm"), b"\0asm\x01\0\0\0").unwrap();
        KeyStore::open(&dir.path().join("data")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tidegate(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("TIDEGATE_CONFIG")
            .env_remove("TIDEGATE_FILTER")
            .output()
            .unwrap()
    }

    /// The output of a command that succeeds.
    fn run(&self, args: &[&str]) -> String {
        let output = self.tidegate(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The message of a command that fails.
    fn fail(&self, args: &[&str]) -> String {
        let output = self.tidegate(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        stderr(&output)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_cluster_to_which_the_filter_cannot_report_is_not_printed() {
    let world = World::new();
    let host = format!("{}.example.com", ["a".repeat(60), "b".repeat(60)].join("."));
    let istio = format!("istio: {{report_cluster: \"outbound|18000||{host}\"}}");
    let config = CONFIG.replacen("istio: {}", &istio, 1);
    fs::write(world.path("tidegate.yaml"), config).unwrap();
    let error = world.fail(&["envoy", "istio", "--image", IMAGE]);
    assert!(error.contains("`cluster` must have 1 to 125 bytes"), "{error}");
}

#[test]
fn the_printed_objects_are_valid_until_the_key_is_rotated() {
    let world = World::new();
    let applied = world.path("applied");
    fs::create_dir(&applied).unwrap();
    let apply = |args: &[&str]| {
        let all = [&["envoy", "istio", "--image", IMAGE][..], args].concat();
        fs::write(applied.join("mesh.yaml"), world.run(&all)).unwrap();
    };
    let validate = ["validate", "tidegate.yaml", "--istio", "applied"];
    apply(&[]);
    let valid = world.run(&validate);
    assert!(valid.contains("4 objects in applied: no problems"), "{valid}");

    // Added, but not applied: its routes are missing.
    let tokens = |text: &str| text.matches("exact: ").count();
    let rotated = world.run(&["envoy", "istio", "--rotate"]);
    assert_eq!(tokens(&rotated), 4, "two for each version: {rotated}");
    let missing = world.fail(&validate);
    assert!(missing.contains("no route matches the token of `order/v1`"), "{missing}");
    assert!(missing.contains("2 problems in applied"), "{missing}");
    assert!(missing.contains("mesh.yaml:"), "{missing}");
    apply(&[]);
    world.run(&validate);
    let again = world.fail(&["envoy", "istio", "--rotate"]);
    assert!(again.contains("--activate"), "{again}");

    let activated = world.run(&["envoy", "istio", "--activate"]);
    assert!(activated.contains("is active"), "{activated}");
    world.run(&validate);
    world.run(&["envoy", "istio", "--retire"]);
    world.run(&validate);
    assert_eq!(tokens(&world.run(&["envoy", "istio", "order"])), 2);
}

#[test]
fn a_key_that_the_server_does_not_have_is_not_used() {
    let world = World::new();
    fs::remove_dir_all(world.path("data")).unwrap();
    let error = world.fail(&["envoy", "istio"]);
    assert!(error.contains("`tidegate serve` creates them"), "{error}");
    assert!(!world.path("data").exists());
}

#[test]
fn unknown_services_and_images_without_digest_are_refused() {
    let world = World::new();
    let error = world.fail(&["envoy", "istio", "ordr"]);
    assert!(error.contains("it includes order"), "{error}");
    let output =
        world.tidegate(&["envoy", "istio", "--image", "oci://registry.example.com/filter:v1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not an image with a digest"), "{}", stderr(&output));
    fs::write(world.path("tidegate.yaml"), CONFIG.replace(", istio: {}}]", "}]")).unwrap();
    assert_eq!(world.tidegate(&["envoy", "istio"]).status.code(), Some(1));
}

#[test]
fn an_image_has_the_same_digest_each_time() {
    let world = World::new();
    let wasm = ["envoy", "image", "--wasm", "filter.wasm", "--out"];
    let build = |out| world.run(&[&wasm[..], &[out]].concat());
    let digest = build("image");
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(build("image.tar"), digest);
    let blob = world.path("image/blobs").join(digest.trim().replace(':', "/"));
    assert!(blob.is_file(), "{}", blob.display());
    let error = world.fail(&["envoy", "image", "--wasm", "tidegate.yaml", "--out", "other"]);
    assert!(error.contains("not a WebAssembly module"), "{error}");
}

/// A registry on loopback: Debian's `docker-registry`.
struct Registry {
    process: Child,
    address: String,
    _dir: TempDir,
}

impl Registry {
    /// `None` if it is not installed.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("registry.yml");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            dir.path().join("storage").display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut process) = command.spawn() else {
            println!("left out: docker-registry is not installed");
            return None;
        };
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the registry does not listen");
        }
        // The registry must be able to write on.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Some(Self { process, address, _dir: dir })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What was pushed is what was built, read back by digest: also by another program, if it is installed.
#[test]
fn an_image_is_pushed_to_a_registry() {
    let Some(registry) = Registry::start() else { return };
    let world = World::new();
    let digest = world.run(&["envoy", "image", "--wasm", "filter.wasm", "--out", "image"]);
    let repository = format!("oci://{}/tidegate/filter", registry.address);
    let push = ["envoy", "image", "--wasm", "filter.wasm", "--push", &format!("{repository}:v1")];
    let pushed = world.run(&push);
    assert_eq!(pushed.trim(), format!("{repository}@{}", digest.trim()));
    assert_eq!(world.run(&push), pushed, "blobs that the registry has are not sent again");

    let copy = world.path("copy");
    let source = format!("docker://{}/tidegate/filter@{}", registry.address, digest.trim());
    let skopeo = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--src-tls-verify=false", &source])
        .arg(format!("oci:{}", copy.display()))
        .output();
    let Ok(output) = skopeo else {
        println!("left out: skopeo is not installed");
        return;
    };
    assert!(output.status.success(), "{}", stderr(&output));
    let blobs = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir.join("blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(blobs(&copy), blobs(&world.path("image")));
}

#[test]
fn a_registry_that_cannot_be_reached_is_named() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reference = format!("oci://{address}/filter");
    let error = world.fail(&["envoy", "image", "--wasm", "filter.wasm", "--push", &reference]);
    assert!(error.contains("cannot push to") && error.contains(&address.to_string()), "{error}");
}
