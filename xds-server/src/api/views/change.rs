//! Changes of a configuration, and what of it is lost.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{GuardrailsView, PlanView};
use crate::config::Located;
use crate::reload::{DryRun, Probed, Unreachable};
use tidegate_delivery::model::change::{ChangeKind, Loss};
use tidegate_delivery::model::refusal::{Losses, Refusal};
use tidegate_delivery::text::lost;

/// What a configuration would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRunView {
    /// False if the configuration is applied already.
    pub changed: bool,
    /// What applying it would answer.
    pub message: String,
    /// The losses that are not allowed: it would be refused.
    pub refused: Vec<Loss>,
    pub changes: Vec<ChangeView>,
    /// Endpoints that would serve traffic, and accepted no connection from the control plane.
    pub unreachable: Vec<UnreachableView>,
    /// The number of endpoints that were not tried.
    pub not_tried: usize,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// Its kind, and the values of that kind.
    #[serde(flatten)]
    pub values: Map<String, Value>,
    pub message: String,
    /// The name that allows it, if it takes away something that serves traffic.
    pub loss: Option<Loss>,
    /// What is lost.
    pub lost: Option<String>,
    /// Its place in the configuration, if it has one.
    pub place: Option<Place>,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// In bytes.
    pub length: usize,
}

/// An endpoint that accepted no connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachableView {
    /// `SERVICE/VERSION`
    pub version: String,
    pub endpoint: String,
    /// Why.
    pub message: String,
}

impl From<DryRun> for DryRunView {
    fn from(DryRun { outcome, refused, changes, probed }: DryRun) -> Self {
        let Probed { unreachable, skipped } = probed;
        let is_refused =
            |it: &&Located| it.change.loss.as_ref().is_some_and(|it| refused.contains(it));
        let losses: Vec<_> =
            changes.iter().filter(is_refused).map(|it| it.change.clone()).collect();
        let message = if losses.is_empty() {
            format!("dry run, nothing is changed; if applied: {outcome}")
        } else {
            let refusal = Refusal::TakesAway { losses: Losses(losses) };
            format!("dry run, nothing is changed; {refusal}")
        };
        Self {
            changed: outcome.changed,
            message,
            refused,
            changes: changes.into_iter().map(ChangeView::from).collect(),
            unreachable: unreachable.into_iter().map(UnreachableView::from).collect(),
            not_tried: skipped,
        }
    }
}

impl From<Located> for ChangeView {
    fn from(Located { change, place }: Located) -> Self {
        let lost = change.loss.as_ref().and_then(|_| lost(&change.kind));
        Self {
            message: change.to_string(),
            values: values(&change.kind),
            loss: change.loss,
            lost,
            place: place.map(|it| Place { line: it.line, column: it.column, length: it.length }),
        }
    }
}

impl From<Unreachable> for UnreachableView {
    fn from(Unreachable { version, endpoint, cause }: Unreachable) -> Self {
        Self {
            version: version.to_string(),
            endpoint: endpoint.to_string(),
            message: cause.to_string(),
        }
    }
}

/// The kind and its values; plans and guardrails as elsewhere in the API.
fn values(kind: &ChangeKind) -> Map<String, Value> {
    let mut values = match serde_json::to_value(kind) {
        Ok(Value::Object(values)) => values,
        // Every kind is an object with text keys.
        Ok(_) | Err(_) => Map::new(),
    };
    let shown = match kind {
        ChangeKind::PlanChanged { from, to, .. } => {
            Some([from, to].map(|it| json!(PlanView::from(&**it))))
        }
        ChangeKind::GuardrailsChanged { from, to, .. } => {
            Some([from, to].map(|it| json!(GuardrailsView::from(&**it))))
        }
        _ => None,
    };
    if let Some([from, to]) = shown {
        values.insert("from".to_owned(), from);
        values.insert("to".to_owned(), to);
    }
    values
}
