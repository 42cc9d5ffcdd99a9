//! The shell script of docs/pipelines.md, extracted and run against a server with real Envoys: for a good version, and for one
//! that is rolled back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tidegate_demo_app::faults::Faults;
use tidegate_tests::story::{self, Traffic};
use tidegate_tests::world_config::Knobs;
use tidegate_tests::{World, WorldOptions, binaries};

const RATE: f64 = 200.0;
const USERS: u64 = 200;
const QUICK: &str = "{canary: {steps: [50%, 100%], step_time: 1s, watch: 1s, min_requests: 10}}";

/// The first block of shell code in the document.
fn script() -> Result<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pipelines.md");
    let text = fs::read_to_string(document)?;
    let (_, rest) = text.split_once("```sh\n").context("a block of shell code")?;
    let (script, _) = rest.split_once("```").context("the end of the block")?;
    Ok(script.to_owned())
}

/// Runs the script for `order` v2. Returns its exit code and output.
async fn run(world: &World, endpoint: &str) -> Result<(i32, String)> {
    let tidegate: PathBuf = binaries::tidegate()?;
    let directory = tidegate.parent().context("the directory of the binary")?;
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let output = tokio::process::Command::new("sh")
        .args(["-c", &script()?])
        .env("PATH", path)
        .env("TIDEGATE_SERVER", format!("http://{}", world.control.api()))
        .envs([("SERVICE", "order"), ("VERSION", "v2"), ("ENDPOINT", endpoint)])
        .env("COMMIT", "0123456789abcdef0123456789abcdef01234567")
        .kill_on_drop(true)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().context("an exit code")?, text))
}

async fn world() -> Result<World> {
    let strategies = [("order".to_owned(), QUICK.to_owned())].into();
    let knobs = Knobs { strategies, ..story::knobs() };
    World::start(WorldOptions { sidecars: 1, knobs, ..WorldOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_script_releases_a_good_version_and_reports_a_bad_one() {
    good_and_bad().await.unwrap();
}

async fn good_and_bad() -> Result<()> {
    let world = world().await?;
    let traffic = Traffic::start(&world, "order", RATE, USERS).await?;
    let v2 = world.backends.get("order", "v2")?;
    let endpoint = v2.address().to_string();
    v2.set_faults(Faults::errors(1.0, 500)?);
    let (code, text) = run(&world, &endpoint).await?;
    ensure!(code == 3 && text.contains("was rolled back: "), "{code}: {text}");
    v2.set_faults(Faults::default());
    let (code, text) = run(&world, &endpoint).await?;
    ensure!(code == 0 && text.contains("order v2 is released"), "{code}: {text}");
    traffic.until_only("v2", USERS).await?;
    traffic.end(Some("v2")).await?;
    Ok(())
}
