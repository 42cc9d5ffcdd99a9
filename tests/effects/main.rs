//! Hooks, notifications and DNS updates of a release, with local receivers, a real BIND, and a control plane that is
//! killed meanwhile.

mod bind;
mod dns;
mod hooks_and_notifications;

use anyhow::Result;
use serde_json::Value;
use tidegate_tests::wait::{WAIT_LIMIT, until};
use tidegate_tests::{World, WorldOptions};
use tokio::sync::Mutex;

/// Serialises the tests under `cargo test`, because they share the CPU. nextest has its own limit.
static ONE_WORLD: Mutex<()> = Mutex::const_new(());

/// One sidecar is enough: the effects do not depend on the number.
fn one_sidecar() -> WorldOptions {
    WorldOptions { sidecars: 1, ..WorldOptions::default() }
}

/// Waits until a service satisfies `expected`, and returns it.
async fn until_service(
    world: &World,
    service: &str,
    expected: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let path = format!("services/{service}");
    let seen = until(&format!("the state of {service}"), WAIT_LIMIT, async || {
        world.control.get(&path).await.ok().filter(&expected)
    })
    .await;
    match seen {
        Ok(service) => Ok(service),
        Err(error) => {
            let last: Value = world.control.get(&path).await?;
            Err(error.context(format!("{service} is {last:#}")))
        }
    }
}
