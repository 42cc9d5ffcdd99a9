//! What the steps of a release can show at today's traffic: the preview of a release, and the current step of a running one.
//!
//! The judge is evaluated some hundred times for each step, so this runs on a blocking thread, one at a time, and the current
//! step of a release is kept for half a minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Api;
use super::problem::Problem;
use crate::controller::DeliveryView;
use tidegate_delivery::judge::guardrails::Guardrails;
use tidegate_delivery::judge::history::StableHistory;
use tidegate_delivery::judge::power::{self, Input, StepPower, Traffic};
use tidegate_delivery::model::plan::Plan;
use tidegate_delivery::model::release::Release;
use tidegate_delivery::model::state::ServiceState;
use tidegate_delivery::names::{ReleaseId, ServiceName, VersionName};
use tidegate_delivery::units::{Ppm, Timestamp};

/// How long the power of a step is kept: the traffic changes slowly.
const KEPT: Duration = Duration::from_secs(30);

/// What a release would be able to show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    pub service: ServiceName,
    pub candidate: VersionName,
    pub stable: VersionName,
    /// Of all versions of the service, in the last half minute.
    pub requests_per_second: f64,
    /// Of stable, in the last 30 minutes.
    pub error_rate_percent: f64,
    pub steps: Vec<StepPower>,
    /// The preview as text, one line each.
    pub text: Vec<String>,
}

/// What the current steps of releases can show, kept for [`KEPT`].
#[derive(Debug)]
pub(super) struct Powers {
    permit: Arc<Semaphore>,
    kept: Mutex<BTreeMap<ReleaseId, Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    step: usize,
    at: Timestamp,
    guardrails: Guardrails,
    power: Option<StepPower>,
}

impl Default for Powers {
    fn default() -> Self {
        Self { permit: Arc::new(Semaphore::new(1)), kept: Mutex::default() }
    }
}

/// What a preview is computed from.
struct Measured {
    traffic: Traffic,
    history: Arc<StableHistory>,
    spread: f64,
    guardrails: Guardrails,
}

impl Measured {
    /// None without requests in the last half minute.
    fn of(api: &Api, service: &ServiceState, candidate: &VersionName) -> Option<Self> {
        let name = &service.spec.name;
        let recent = api.backend.recent(name);
        let requests_per_second = recent.values().map(|it| it.requests_per_second).sum::<f64>();
        let history = api.backend.history(name);
        let of_half_hour = history.failures();
        let error_rate = match recent.get(&service.stable).and_then(|it| it.error_rate) {
            Some(rate) if of_half_hour.all == 0 => rate.fraction(),
            _ => of_half_hour.rate(),
        };
        let instances = |version: &VersionName| {
            let spec = service.spec.versions.get(version);
            f64::from(spec.map_or(1, |it| u32::try_from(it.endpoints.len()).unwrap_or(u32::MAX)))
        };
        let spread = instances(&service.stable) / instances(candidate).max(1.0);
        let traffic = Traffic { requests_per_second, error_rate };
        let guardrails = service.spec.guardrails.clone();
        (requests_per_second > 0.0).then_some(Self { traffic, history, spread, guardrails })
    }

    fn input(&self, group: usize) -> Input<'_> {
        let Self { traffic, history, spread, guardrails } = self;
        Input { traffic: *traffic, history, spread: *spread, group, guardrails }
    }
}

/// The preview of a release that is not started.
pub(super) async fn preview(
    api: &Api,
    service: &ServiceState,
    candidate: VersionName,
    plan: Plan,
) -> Result<Preview, Problem> {
    let name = service.spec.name.clone();
    let measured = Measured::of(api, service, &candidate).ok_or_else(|| {
        let detail = format!(
            "service `{name}` had no requests in the last half minute; the preview is computed from its traffic"
        );
        Problem::new(StatusCode::CONFLICT, "no-traffic", detail)
    })?;
    let traffic = measured.traffic;
    let steps = api
        .powers
        .run(move || power::preview(&measured.input(1), plan.stages(Some(traffic.rate()))))
        .await;
    let steps = steps.ok_or_else(stopping)?;
    let stable = service.stable.clone();
    let head = format!(
        "{name} has {traffic} on {stable}. Medians, for a regression that begins with the step; half of the releases need longer."
    );
    let text = std::iter::once(head).chain(steps.iter().map(|it| format!("- {it}."))).collect();
    Ok(Preview {
        service: name,
        candidate,
        stable,
        requests_per_second: traffic.requests_per_second,
        error_rate_percent: traffic.error_rate * 100.0,
        steps,
        text,
    })
}

fn stopping() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping")
}

/// What the current step of a running release can show.
pub(super) async fn current(
    api: &Api,
    view: &DeliveryView,
    service: &ServiceState,
    release: &Release,
) -> Option<StepPower> {
    let step = release.step().filter(|_| release.is_running() && release.weight() > Ppm::ZERO)?;
    let now = api.backend.now();
    let guardrails = &service.spec.guardrails;
    let kept = api.powers.kept.lock().get(&release.id).cloned();
    if let Some(kept) = kept
        && kept.step == step
        && kept.guardrails == *guardrails
        && now.since(kept.at) < KEPT
    {
        return kept.power;
    }
    let measured = Measured::of(api, service, &release.candidate)?;
    let group = view.state.group_of(&release.id).map_or(1, |(_, group)| group.members.len());
    let stages: Vec<_> = release.plan.stages(Some(measured.traffic.rate())).collect();
    let power = move || power::of_step(&measured.input(group), stages, step);
    let power = api.powers.run(power).await?;
    let mut all = api.powers.kept.lock();
    all.retain(|id, _| view.state.release(id).is_some_and(Release::is_running));
    let kept = Kept { step, at: now, guardrails: guardrails.clone(), power: power.clone() };
    all.insert(release.id.clone(), kept);
    drop(all);
    power
}

impl Powers {
    /// None if the server stops.
    async fn run<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.permit).acquire_owned().await.ok()?;
        // The computation keeps its permit if the request is given up.
        let computed = spawn_blocking(move || {
            let computed = compute();
            drop(permit);
            computed
        });
        computed.await.ok()
    }
}
