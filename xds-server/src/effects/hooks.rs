//! Calls hooks: whatever call is due is made, be it new or found so after a restart, until it is
//! answered well or given up. At least once: what was answered and not journaled yet is made again,
//! with the same key.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{info, warn};

use super::deliver::deliver;
use super::outbound::{Outbound, Post};
use super::pace::Pace;
use super::under_way::UnderWay;
use crate::controller::Handle;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::hook::{Call, Moment};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{HookName, ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;

/// Calls under way at a time, of all services.
const CONCURRENCY: usize = 64;

/// Makes the calls that are due until the controller stops.
pub async fn run(controller: Handle, outbound: Outbound, pace: Pace) {
    let mut view = controller.view();
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let mut under_way = UnderWay::new();
    loop {
        let due = due(&view.borrow_and_update().state);
        under_way.follow(due, |_, (service, call)| {
            let caller = Caller {
                controller: controller.clone(),
                outbound: outbound.clone(),
                permits: Arc::clone(&permits),
                pace,
            };
            async move { caller.insist(&service, &call).await }
        });
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// Every call that is due, by its key.
fn due(state: &State) -> BTreeMap<String, (ServiceName, Call)> {
    let services = state.services.iter();
    services
        .flat_map(|(name, service)| {
            service.due_calls().map(|call| (call.key(), (name.clone(), call.clone())))
        })
        .collect()
}

/// What a hook is told, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    hook: &'a HookName,
    on: Moment,
    service: &'a ServiceName,
    release: &'a ReleaseId,
    /// The version that served before.
    from: &'a VersionName,
    /// The version that serves now; when a release starts, the one that may.
    to: &'a VersionName,
    /// When it was decided, in milliseconds since the Unix epoch.
    at: Timestamp,
}

struct Caller {
    controller: Handle,
    outbound: Outbound,
    permits: Arc<Semaphore>,
    pace: Pace,
}

impl Caller {
    async fn insist(&self, service: &ServiceName, call: &Call) {
        let (attempts, result) = match body(service, call) {
            Ok(body) => self.attempt(call, body).await,
            Err(error) => (0, Err(error.to_string())),
        };
        let Call { release, hook, .. } = call;
        match &result {
            Ok(()) => info!(%release, hook = %hook.name, attempts, "hook told"),
            Err(error) => warn!(%release, hook = %hook.name, attempts, error, "hook given up"),
        }
        let (release, hook) = (release.clone(), hook.name.clone());
        let ended = Command::HookEnded { release, hook, attempts, result };
        deliver(&self.controller, "hooks", ended).await;
    }

    /// How often it was tried, and how that ended.
    async fn attempt(&self, call: &Call, body: Bytes) -> (u32, Result<(), String>) {
        let hook = &call.hook;
        let key = call.key();
        let post = Post {
            url: &hook.url,
            body,
            key: &key,
            secret: hook.secret.as_ref(),
            patience: hook.timeout,
        };
        let mut waits = self.pace.waits(hook.retries);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let result = {
                // Nobody closes it.
                let _permit = self.permits.acquire().await.ok();
                self.outbound.post(&post).await
            };
            let Err(error) = result else { return (attempts, Ok(())) };
            match waits.next() {
                Some(wait) => sleep(wait).await,
                None => return (attempts, Err(error.to_string())),
            }
        }
    }
}

fn body(service: &ServiceName, call: &Call) -> Result<Bytes, serde_json::Error> {
    let told = Told {
        hook: &call.hook.name,
        on: call.hook.on,
        service,
        release: &call.release,
        from: &call.from,
        to: &call.to,
        at: call.at,
    };
    Ok(serde_json::to_vec(&told)?.into())
}
