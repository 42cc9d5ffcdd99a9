//! The configurations that the sidecars run.

use anyhow::Result;
use serde_json::Value;
use tidegate_tests::World;
use tidegate_tests::wait::{WAIT_LIMIT, until};

/// Waits until every sidecar is connected and has ACKed everything published.
pub(crate) async fn until_synced(world: &World) -> Result<()> {
    until("every sidecar to be synced", WAIT_LIMIT, async || {
        let nodes: Vec<Value> = world.control.get("nodes").await.ok()?;
        let synced = |node: &&Value| node["connected"] == true && node["synced"] == true;
        (nodes.iter().filter(synced).count() == world.sidecars.len()).then_some(())
    })
    .await
}

/// The config dump of each Envoy, with versions and without times.
pub(crate) async fn configurations(world: &World) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for sidecar in &world.sidecars {
        let mut dump = sidecar.envoy.config_dump().await?;
        remove(&mut dump, "last_updated");
        all.push(dump);
    }
    Ok(all)
}

/// Waits until every Envoy has the cluster `there`, and not the cluster `gone`.
pub(crate) async fn until_clusters(world: &World, there: &str, gone: &str) -> Result<()> {
    for sidecar in &world.sidecars {
        let what = format!("{} to have {there} and not {gone}", sidecar.fleet);
        until(&what, WAIT_LIMIT, async || {
            let answer = sidecar.envoy.clusters().await.ok()?;
            let clusters = answer.get("cluster_statuses")?.as_array()?;
            let has = |name: &str| clusters.iter().any(|cluster| cluster["name"] == name);
            (has(there) && !has(gone)).then_some(())
        })
        .await?;
    }
    Ok(())
}

fn remove(value: &mut Value, key: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(key);
            fields.values_mut().for_each(|field| remove(field, key));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, key)),
        _ => {}
    }
}
