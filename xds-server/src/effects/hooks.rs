//! Calls hooks. Every due call in the state is made until it succeeds or its attempts are used up.
//!
//! Delivery is at least once: a call whose result was not journaled is repeated after a restart, with the same
//! idempotency key.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::keyed_tasks::KeyedTasks;
use super::submit::submit;
use super::supervisor::{Supervisor, Task};
use super::webhook::{JSON, WebhookClient, WebhookRequest};
use crate::controller::Handle;
use tidegate_delivery::model::command::Command;
use tidegate_delivery::model::hook::{Call, Moment};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{HookName, ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::Timestamp;

/// Requests in flight, of all services.
const CONCURRENCY: usize = 64;

/// Makes the due calls until the controller stops.
pub async fn run(
    controller: Handle,
    webhooks: WebhookClient,
    backoff: Backoff,
    supervisor: Supervisor,
) {
    let caller = HookCaller {
        controller: controller.clone(),
        webhooks,
        permits: Arc::new(Semaphore::new(CONCURRENCY)),
        backoff,
    };
    let start = || call_hooks(caller.clone(), supervisor.clone());
    supervisor.run_until_stopped(Task::Hooks, &controller, start).await;
}

async fn call_hooks(caller: HookCaller, supervisor: Supervisor) {
    let mut view = caller.controller.view();
    let call = move |_, (service, call): (ServiceName, Call)| {
        let caller = caller.clone();
        async move { caller.call(&service, &call).await }
    };
    let mut tasks = KeyedTasks::new(Task::Hooks, supervisor, call);
    loop {
        let due = due_calls(&view.borrow_and_update().state);
        tasks.update(due);
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// The due calls by idempotency key.
fn due_calls(state: &State) -> BTreeMap<String, (ServiceName, Call)> {
    let services = state.services.iter();
    services
        .flat_map(|(name, service)| {
            service.due_calls().map(|call| (call.key(), (name.clone(), call.clone())))
        })
        .collect()
}

/// The JSON body of a call.
#[derive(Serialize)]
struct Body<'a> {
    hook: &'a HookName,
    on: Moment,
    service: &'a ServiceName,
    release: &'a ReleaseId,
    /// The version that served before the transition.
    from: &'a VersionName,
    /// The version that serves after it; for `started` the candidate.
    to: &'a VersionName,
    /// When the transition was decided, in milliseconds since the Unix epoch.
    at: Timestamp,
}

#[derive(Clone)]
struct HookCaller {
    controller: Handle,
    webhooks: WebhookClient,
    permits: Arc<Semaphore>,
    backoff: Backoff,
}

impl HookCaller {
    /// Makes a call and submits its result.
    async fn call(&self, service: &ServiceName, call: &Call) {
        let (attempts, result) = match body(service, call) {
            Ok(body) => self.attempt(call, body).await,
            Err(error) => (0, Err(error.to_string())),
        };
        let Call { release, hook, .. } = call;
        match &result {
            Ok(()) => info!(%release, hook = %hook.name, attempts, "hook succeeded"),
            Err(error) => warn!(%release, hook = %hook.name, attempts, error, "hook failed"),
        }
        let (release, hook, on) = (release.clone(), hook.name.clone(), hook.on);
        let ended = Command::HookEnded { release, hook, on, attempts, result };
        submit(&self.controller, "hooks", ended).await;
    }

    /// The number of attempts, and the result of the last one.
    async fn attempt(&self, call: &Call, body: Bytes) -> (u32, Result<(), String>) {
        let hook = &call.hook;
        let key = call.key();
        let request = WebhookRequest {
            bearer: None,
            url: &hook.url,
            body,
            content_type: JSON,
            idempotency_key: &key,
            secret: hook.secret.as_ref(),
            timeout: hook.timeout,
        };
        let mut delays = self.backoff.delays(hook.retries);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let result = {
                // The semaphore is never closed.
                let _permit = self.permits.acquire().await.ok();
                self.webhooks.post(&request).await
            };
            let Err(error) = result else { return (attempts, Ok(())) };
            match delays.next() {
                Some(delay) => sleep(delay).await,
                None => return (attempts, Err(error.to_string())),
            }
        }
    }
}

fn body(service: &ServiceName, call: &Call) -> Result<Bytes, serde_json::Error> {
    let body = Body {
        hook: &call.hook.name,
        on: call.hook.on,
        service,
        release: &call.release,
        from: &call.from,
        to: &call.to,
        at: call.at,
    };
    Ok(serde_json::to_vec(&body)?.into())
}
