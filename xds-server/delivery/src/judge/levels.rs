//! How far the evidence about errors is, for diagrams.

use serde::{Deserialize, Serialize};

use super::ReleaseJudge;
use super::bound::Bound;
use super::guardrails::Guardrails;
use super::limits::{Rule, rules};
use super::{Guardrail, Level};

/// E-values about the error rate, and the one that a rollback needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvidenceLevels {
    /// Of "worse than stable", for a rollback.
    pub compared: f64,
    /// Of "above the limit of a rollback".
    pub limit: f64,
    /// What their weighted mean needs.
    pub needed: f64,
}

impl ReleaseJudge {
    /// The evidence about errors now. `group` is the number of releases that roll back together.
    #[must_use]
    pub fn evidence_levels(&self, guardrails: &Guardrails, group: usize) -> EvidenceLevels {
        let rules = rules(guardrails);
        let of_requests = rules.iter().filter(|it| Rule::is_of_requests(it)).zip(&self.limits);
        let mut errors = of_requests.filter(|(rule, _)| {
            rule.guardrail == Guardrail::ErrorRate && rule.level == Level::Rollback
        });
        EvidenceLevels {
            compared: self.comparison.much_worse(),
            limit: errors.next().map_or(0.0, |(_, limit)| limit.ceiling.value()),
            needed: Bound::of(guardrails, group).errors,
        }
    }
}
