//! `/freeze`: the freezes of deployments, and freezing them by hand.

use super::views::BlockerView;
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
use tidegate_delivery::model::freeze::{FreezeWindow, ManualFreeze};
use tidegate_delivery::names::ServiceName;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/freeze", get(show).put(freeze).delete(unfreeze))
}

/// The freezes of deployments. None of them blocks a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freezes {
    /// The freeze by hand of all services.
    pub all: Option<ManualFreeze>,
    /// The freezes by hand of single services.
    pub services: BTreeMap<ServiceName, ManualFreeze>,
    /// The declared freeze windows, in force or not.
    pub windows: Vec<FreezeWindow>,
    /// What each service is frozen by now.
    pub active: BTreeMap<ServiceName, Vec<BlockerView>>,
}

async fn show(State(api): State<Api>) -> Json<Freezes> {
    let (view, now) = (api.view(), api.backend.now());
    let state = &view.state;
    let mut freezes = Freezes {
        all: state.frozen.clone(),
        services: BTreeMap::new(),
        windows: state.freeze_windows.clone(),
        active: BTreeMap::new(),
    };
    for (name, service) in &state.services {
        freezes.services.extend(service.frozen.clone().map(|freeze| (name.clone(), freeze)));
        let active = state.active_freezes(service, now);
        if !active.is_empty() {
            freezes.active.insert(name.clone(), BlockerView::all(&active));
        }
    }
    Json(freezes)
}

/// Which deployments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Those of this service; absent: of all.
    service: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

async fn freeze(
    State(api): State<Api>,
    OptionalBody(which): OptionalBody<Which>,
) -> Result<Json<Outcome>, Problem> {
    ask(api, which, Command::FreezeDeployments).await
}

async fn unfreeze(
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
