//! What a release does beside traffic: it tells hooks and people, and DNS follows it. Real receivers, a real BIND, and
//! a control plane that is killed in the middle.

mod bind;
mod dns;
mod telling;

use anyhow::Result;
use serde_json::Value;
use tidegate_tests::wait::{PATIENCE, until};
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

/// Worlds share the machine's cores: under plain `cargo test` one at a time. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

/// One sidecar is enough: none of this is about how many there are.
fn one_sidecar() -> WorldOptions {
    WorldOptions { sidecars: 1, ..WorldOptions::default() }
}

/// A part of an answer; null if it has none there.
fn at<'a>(answer: &'a Value, pointer: &str) -> &'a Value {
    answer.pointer(pointer).unwrap_or(&Value::Null)
}

/// Waits until a service looks like this.
async fn until_service(
    world: &World,
    service: &str,
    looks: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let path = format!("services/{service}");
    let seen = until(&format!("the state of {service}"), PATIENCE, async || {
        world.control.get(&path).await.ok().filter(&looks)
    })
    .await;
    match seen {
        Ok(service) => Ok(service),
        Err(error) => {
            let is: Value = world.control.get(&path).await?;
            Err(error.context(format!("it is {is:#}")))
        }
    }
}
