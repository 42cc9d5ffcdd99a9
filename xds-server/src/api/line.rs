//! `/line`: what holds every release, or those of one service, and stopping it.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Api;
use super::body::OptionalBody;
use super::origin::Given;
use super::problem::Problem;
use super::services::find;
use tidegate_delivery::model::command::{Command, Outcome};
use tidegate_delivery::model::freeze::{FreezeWindow, Stop};
use tidegate_delivery::names::ServiceName;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/line", get(show).put(stop).delete(start))
}

/// What holds releases from going forward. Rollbacks are never held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// That the line of all services is stopped.
    pub stopped: Option<Stop>,
    /// The services whose own line is stopped.
    pub services: BTreeMap<ServiceName, Stop>,
    /// The times in which nothing goes forward.
    pub freeze_windows: Vec<FreezeWindow>,
    /// What each held service waits for now, in plain words.
    pub closed: BTreeMap<ServiceName, Vec<String>>,
}

async fn show(State(api): State<Api>) -> Json<Line> {
    let (view, now) = (api.view(), api.backend.now());
    let state = &view.state;
    let mut line = Line {
        stopped: state.stopped.clone(),
        services: BTreeMap::new(),
        freeze_windows: state.freeze_windows.clone(),
        closed: BTreeMap::new(),
    };
    for (name, service) in &state.services {
        line.services.extend(service.stopped.clone().map(|stop| (name.clone(), stop)));
        let closed = state.closed(service, now);
        if !closed.is_empty() {
            line.closed.insert(name.clone(), closed);
        }
    }
    Json(line)
}

/// Which line.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Only this service's; absent: that of all.
    service: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn stop(
    State(api): State<Api>,
    OptionalBody(which): OptionalBody<Which>,
) -> Result<Json<Outcome>, Problem> {
    ask(api, which, Command::FreezeDeployments).await
}

async fn start(
    State(api): State<Api>,
    OptionalBody(which): OptionalBody<Which>,
) -> Result<Json<Outcome>, Problem> {
    ask(api, which, Command::UnfreezeDeployments).await
}

async fn ask(
    api: Api,
    which: Which,
    command: fn(Option<ServiceName>) -> Command,
) -> Result<Json<Outcome>, Problem> {
    let Which { service, actor, reason } = which;
    let view = api.view();
    let service = service.map(|name| find(&view, &name).map(|it| it.spec.name.clone()));
    let origin = Given { actor, reason }.origin()?;
    let outcome = api.backend.submit(command(service.transpose()?), origin).await?;
    Ok(Json(outcome))
}
