//! Status of releases and sidecars by the REST API, for assertions.

use std::time::Duration;

use crate::World;
use crate::story::Traffic;
use crate::wait::{WAIT_LIMIT, until};
use anyhow::{Context, Result};
use serde_json::Value;
use tidegate_demo_app::load::LoadConfig;

/// Traffic for a service through the first sidecar only.
///
/// # Errors
/// If there is no response.
pub async fn traffic(world: &World, service: &str) -> Result<Traffic> {
    let first = world.sidecars.first().context("no sidecar")?;
    let config = LoadConfig {
        rate: 300.0,
        users: 300,
        timeout: Duration::from_secs(5),
        ..LoadConfig::new(vec![first.ingress], format!("{service}.local"))
    };
    Traffic::with(service, &config).await
}

/// The value at a JSON pointer; null if there is none.
#[must_use]
pub fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The newest release of a service.
///
/// # Errors
/// If there is no such service.
pub async fn release(world: &World, service: &str) -> Result<Value> {
    let service: Value = world.control.get(&format!("services/{service}")).await?;
    Ok(at(&service, "/release").clone())
}

/// The blockers of a release, in one line.
#[must_use]
pub fn waiting_for(release: &Value) -> String {
    let blockers = at(release, "/progress/blockers").as_array();
    let details: Vec<_> =
        blockers.into_iter().flatten().filter_map(|it| it["detail"].as_str()).collect();
    details.join("; ")
}

/// Waits until the newest release of a service satisfies a condition.
///
/// # Errors
/// After [`WAIT_LIMIT`]. The error contains the release.
pub async fn until_release(
    world: &World,
    service: &str,
    condition: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let seen = until(&format!("the release of {service}"), WAIT_LIMIT, async || {
        release(world, service).await.ok().filter(&condition)
    })
    .await;
    match seen {
        Ok(release) => Ok(release),
        Err(error) => Err(error.context(format!("it is {:#}", release(world, service).await?))),
    }
}

/// Waits until a sidecar satisfies a condition.
///
/// # Errors
/// After [`WAIT_LIMIT`].
pub async fn until_node(
    world: &World,
    id: &str,
    condition: impl Fn(&Value) -> bool,
) -> Result<Value> {
    until(&format!("sidecar {id}"), WAIT_LIMIT, async || {
        let nodes: Vec<Value> = world.control.get("nodes").await.ok()?;
        nodes.into_iter().find(|node| at(node, "/id") == id && condition(node))
    })
    .await
}

/// The server's metrics.
///
/// # Errors
/// If there is no response.
pub async fn metrics(world: &World) -> Result<String> {
    let url = format!("http://{}/metrics", world.control.api());
    Ok(reqwest::get(url).await?.error_for_status()?.text().await?)
}
