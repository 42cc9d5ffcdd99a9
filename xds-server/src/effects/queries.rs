//! Query guardrails: each query of a running release is asked in its interval, by a task of its own.
//!
//! The servers are not trusted: redirects and proxies are not followed, a response is read up to [`MAX_BODY`] bytes, and each
//! query has a timeout. Results go to [`QuerySamples`]; the controller decides about them.

mod client;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tokio::time::{MissedTickBehavior, interval};

use super::keyed_tasks::KeyedTasks;
use super::supervisor::{Supervisor, Task};
use super::webhook::TlsError;
use crate::clock::Clock;
use crate::controller::{Handle, QuerySamples};
use client::QueryClient;
use tidegate_delivery::judge::queries::{QueryGuardrail, QuerySource, Sample};
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{MetricName, ReleaseId};

/// Largest response, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The HTTP client of queries. Clones share the connection pool.
#[derive(Clone)]
pub struct Queries(QueryClient);

impl Queries {
    /// A client that trusts the system's root certificates.
    ///
    /// # Errors
    /// If the TLS configuration is invalid.
    pub fn new() -> Result<Self, TlsError> {
        QueryClient::new().map(Self)
    }
}

/// Asks the queries of running releases until the controller stops.
pub async fn run(queries: Queries, controller: Handle, clock: Clock, supervisor: Supervisor) {
    let start =
        || ask_all(queries.0.clone(), controller.clone(), clock.clone(), supervisor.clone());
    supervisor.run_until_stopped(Task::Queries, &controller, start).await;
}

async fn ask_all(client: QueryClient, controller: Handle, clock: Clock, supervisor: Supervisor) {
    let mut view = controller.view();
    let samples = controller.query_samples();
    let ask = move |(release, _): (ReleaseId, MetricName), work: Asked| {
        ask_repeatedly(client.clone(), samples.clone(), clock.clone(), release, work)
    };
    let mut tasks = KeyedTasks::new(Task::Queries, supervisor, ask);
    loop {
        let wanted = wanted(&view.borrow_and_update().state);
        tasks.update(wanted);
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// A query of one step of a release. Each step asks anew.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    step: Option<usize>,
    guardrail: QueryGuardrail,
    /// With the names of the release.
    source: QuerySource,
}

fn wanted(state: &State) -> BTreeMap<(ReleaseId, MetricName), Asked> {
    let running = state.services.values().filter_map(|it| Some((it, it.running()?)));
    let on_a_step = running.filter(|(_, release)| release.step().is_some());
    on_a_step
        .flat_map(|(service, release)| {
            service.spec.guardrails.queries.iter().map(|guardrail| {
                let key = (release.id.clone(), guardrail.name.clone());
                let source = with_names(&guardrail.source, release);
                (key, Asked { step: release.step(), guardrail: guardrail.clone(), source })
            })
        })
        .collect()
}

/// Replaces `$service`, `$candidate` and `$stable`. Names consist of letters, digits and `._-`, so they need no escapes.
fn with_names(source: &QuerySource, release: &Release) -> QuerySource {
    let named = |text: &String| {
        text.replace("$service", release.service.as_str())
            .replace("$candidate", release.candidate.as_str())
            .replace("$stable", release.stable.as_str())
    };
    match source {
        QuerySource::Prometheus { url, query, stable } => QuerySource::Prometheus {
            url: url.clone(),
            query: named(query),
            stable: stable.as_ref().map(named),
        },
        QuerySource::Http { url, stable } => {
            QuerySource::Http { url: named(url), stable: stable.as_ref().map(named) }
        }
    }
}

async fn ask_repeatedly(
    client: QueryClient,
    samples: QuerySamples,
    clock: Clock,
    release: ReleaseId,
    Asked { step, guardrail, source }: Asked,
) {
    let mut ticks = interval(guardrail.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let result = ask(&client, &guardrail, &source).await;
        samples.observe(
            clock.now(),
            &release,
            step,
            result.as_ref().copied().map_err(String::as_str),
            &guardrail,
        );
    }
}

/// Both values at the same time. If one of them is missing, there is no sample.
async fn ask(
    client: &QueryClient,
    guardrail: &QueryGuardrail,
    source: &QuerySource,
) -> Result<Sample, String> {
    let value = |url: String, is_prometheus: bool| client.value(url, is_prometheus, guardrail);
    let both = match source {
        QuerySource::Prometheus { url, query, stable } => {
            let url = |query: &String| client::prometheus_url(url, query);
            let stable = stable.as_ref().map(url);
            (value(url(query), true), stable.map(|it| value(it, true)))
        }
        QuerySource::Http { url, stable } => {
            (value(url.clone(), false), stable.clone().map(|it| value(it, false)))
        }
    };
    let (candidate, stable) = match both {
        (candidate, Some(stable)) => {
            let (candidate, stable) = tokio::join!(candidate, stable);
            (candidate, Some(stable.map_err(|error| format!("stable: {error}"))?))
        }
        (candidate, None) => (candidate.await, None),
    };
    Ok(Sample { candidate: candidate.map_err(|error| error.to_string())?, stable })
}
