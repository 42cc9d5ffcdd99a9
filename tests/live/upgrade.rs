//! A new filter module reaches the sidecars by its path: the configuration names another file, so the resource of the filter
//! changes, and Envoy loads it beside the old one. A file that is replaced under the same path changes nothing.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_tests::story::{Operator, Phase, Traffic};
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::{World, binaries};

use super::{File, RATE, USERS, until_applied, world};

const CURRENT: &[u8] = env!("CARGO_PKG_VERSION").as_bytes();
const OLDER: &[u8] = b"0.0.9";

/// The module with an older version number.
fn older(module: &[u8]) -> Result<Vec<u8>> {
    ensure!(CURRENT.len() == OLDER.len(), "the version numbers differ in length");
    let (mut module, mut replaced) = (module.to_vec(), 0);
    while let Some(at) = module.windows(CURRENT.len()).position(|part| part == CURRENT) {
        module.get_mut(at..at + OLDER.len()).context("a position")?.copy_from_slice(OLDER);
        replaced += 1;
    }
    ensure!(replaced > 0, "the module does not contain its version");
    Ok(module)
}

/// Writes a module to a file that is named after its content.
fn install(module: &[u8], dir: &Path) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    hasher.write(module);
    let path = dir.join(format!("filter-{:016x}.wasm", hasher.finish()));
    fs::write(&path, module)?;
    Ok(path)
}

async fn until_filters(world: &World, version: &[u8]) -> Result<()> {
    let version = std::str::from_utf8(version)?;
    until(&format!("filters {version}"), WAIT_LIMIT, async || {
        let nodes: Vec<Value> = world.control.get("nodes").await.ok()?;
        let has = |node: &Value| node["filter_version"] == version && node["silent"] == false;
        nodes.iter().all(has).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_is_upgraded_under_load() {
    upgrade().await.unwrap();
}

async fn upgrade() -> Result<()> {
    let world = world().await?;
    let file = File::of(&world);
    let module = fs::read(binaries::filter()?)?;
    let old = install(&older(&module)?, world.dir())?;
    let new = install(&module, world.dir())?;
    let first = binaries::filter()?;
    let quoted = |path: &Path| format!("wasm: {path:?}");
    file.edit(&quoted(&first), &quoted(&old))?;
    until_applied(&world, &file, 2).await?;
    until_filters(&world, OLDER).await?;

    let order = Traffic::start(&world, "order", RATE, USERS).await?;
    let operator = Operator::new(&world.control);
    operator.run(&["release", "start", "order", "--version", "v2"]).await?;
    operator.until("order", |release| release.phase == Phase::Stepping).await?;
    operator.run(&["release", "pause", "order"]).await?;
    order.more(USERS).await?;
    file.edit(&quoted(&old), &quoted(&new))?;
    until_applied(&world, &file, 2).await?;
    until_filters(&world, CURRENT).await?;
    order.more(2 * USERS).await?;
    operator.run(&["release", "resume", "order"]).await?;
    operator.until("order", |release| release.phase == Phase::Completed).await?;
    order.until_only("v2", 2 * USERS).await?;
    order.end(None).await?;
    Ok(())
}
