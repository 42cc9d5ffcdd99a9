//! The module fails on every thread of a sidecar. With `FAIL_OPEN` Envoy goes on without it, and says nothing.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use tidegate_tests::binaries;
use tidegate_tests::story::ProgressOutput;
use tidegate_tests::wait::{WAIT_LIMIT, until};

use super::forgery::{Table, backend, to_a_quarter, versions};
use super::mesh::{Mesh, Setup};
use super::proxy::Role;

/// Pages of memory, 64 kB each, that the module of the sidecar may use beyond those at its start.
const SPARE_PAGES: u32 = 16;
/// Names in the flag that exceeds them, and their length.
const NAMES: usize = 1_000;
const NAME_BYTES: usize = 700;
/// In the log of an Envoy whose VM has failed.
const TRAP: &str = "unreachable";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_trap_on_every_thread_requests_go_to_stable_and_the_sidecar_is_named() {
    run().await.unwrap();
}

async fn run() -> Result<()> {
    let output = ProgressOutput::default();
    let dir = tempfile::tempdir()?;
    let versions_of_service = Some([backend("v1").await?, backend("v2").await?]);
    let module = Some(limited(&dir)?);
    let setup = Setup { versions: versions_of_service, module, ..Setup::default() };
    let mesh = Mesh::start(setup).await?;
    to_a_quarter(&mesh).await?;
    ensure!(on_v2(&mesh, Role::Sidecar).await? > 0, "no user of the sidecar is on v2");
    let sidecar = mesh.proxy(Role::Sidecar);

    let file = mesh.dir().join("large.json");
    fs::write(&file, large_flag())?;
    let began = Instant::now();
    mesh.operator().run(&["flag", "set", "-f", file.to_str().context("a path")?]).await?;
    mesh.until_silent(&sidecar.node).await?;
    output.say(format_args!(
        "silent {} ms after the command whose configuration its module cannot hold",
        began.elapsed().as_millis()
    ));
    let failed = async || {
        let log = fs::read_to_string(sidecar.envoy.process.log()).ok()?;
        (log.matches(TRAP).count() >= 3).then_some(())
    };
    until("Envoy's log to have a trap of each VM", WAIT_LIMIT, failed).await?;

    // The other proxies have the configuration, and decide.
    ensure!(on_v2(&mesh, Role::Sidecar).await? == 0, "the sidecar's default route is that of v1");
    ensure!(on_v2(&mesh, Role::Gateway).await? > 0 && on_v2(&mesh, Role::Waypoint).await? > 0);
    let mut table = Table::default();
    table.forge(&mesh, "failed in the sidecar").await?;
    output.say(format_args!("\n{table}"));

    mesh.operator().run(&["release", "resume", "order"]).await?;
    let requests = async || versions(&mesh, None).await.map(drop);
    let blocked = mesh.until_blocked_by_silence(requests).await?;
    output.say(format_args!("the release waits for {blocked}"));
    ensure!(blocked.contains("1 of 3") && blocked.contains(&sidecar.node), "{blocked}");
    mesh.operator().run(&["release", "rollback", "order"]).await?;
    let undecided = async || {
        let users = versions(&mesh, None).await.ok()?;
        users.values().all(|version| version == "v1").then_some(())
    };
    until("every user on v1: nothing blocks a rollback", WAIT_LIMIT, undecided).await?;
    Ok(())
}

async fn on_v2(mesh: &Mesh, role: Role) -> Result<usize> {
    let users = versions(mesh, None).await?;
    Ok(users.iter().filter(|((its, _), version)| *its == role && *version == "v2").count())
}

/// A flag that fits into the limits of the server.
fn large_flag() -> String {
    let names: Vec<_> = (0..NAMES).map(|number| format!("{number:0>NAME_BYTES$}")).collect();
    let flag = json!({"flags": {"large": {
        "state": "ENABLED",
        "variants": {"in": "v2", "out": ""},
        "defaultVariant": "out",
        "targeting": {"if": [{"in": [{"var": "headers.x-name"}, names]}, "in"]},
        "metadata": {"service": "order"},
    }}});
    flag.to_string()
}

/// The filter with limited memory, so that an allocation fails, which aborts it as every trap does.
fn limited(dir: &TempDir) -> Result<PathBuf> {
    let filter = fs::read(binaries::filter()?)?;
    let path = dir.path().join("limited.wasm");
    fs::write(&path, limit_memory(&filter).context("a module with one memory")?)?;
    Ok(path)
}

/// Sets the maximum of the memory section.
fn limit_memory(module: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 8;
    const MEMORY: u8 = 5;
    let (header, mut rest) = module.split_at_checked(HEADER)?;
    let mut limited = header.to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (length, content) = leb128(after)?;
        let (content, next) = content.split_at_checked(usize::try_from(length).ok()?)?;
        if id == MEMORY {
            // One memory; its flags, and its least number of pages.
            let [1, 0 | 1, pages @ ..] = content else { return None };
            let (least, _) = leb128(pages)?;
            let mut section = vec![1, 1];
            section.extend(to_leb128(least));
            section.extend(to_leb128(least + SPARE_PAGES));
            limited.push(id);
            limited.extend(to_leb128(u32::try_from(section.len()).ok()?));
            limited.extend(section);
        } else {
            limited.extend(&rest[..rest.len() - next.len()]);
        }
        rest = next;
    }
    Some(limited)
}

/// A number, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at_checked(end + 1)?;
    let value = number.iter().rev().try_fold(0_u32, |value, byte| {
        value.checked_mul(0x80)?.checked_add(u32::from(byte & 0x7f))
    })?;
    Some((value, rest))
}

fn to_leb128(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}
