//! The health of the candidate's instances before it receives traffic.

use serde::{Deserialize, Serialize};

use crate::model::blocker::Blocker;
use crate::model::failure::RequestFailure;
use crate::model::plan::HealthCheck;
use crate::model::release::{Phase, Release};

/// Most unhealthy instances that are listed by name.
pub const MAX_NAMED: usize = 5;

/// The result of the last health check of the candidate's instances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceHealth {
    /// The first unhealthy instances, at most [`MAX_NAMED`].
    pub unhealthy: Vec<UnhealthyInstance>,
    /// How many more are unhealthy.
    pub more: u32,
}

/// One unhealthy instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnhealthyInstance {
    /// `host:port`.
    pub endpoint: String,
    /// How its health check failed.
    #[serde(flatten)]
    pub failure: RequestFailure,
}

impl InstanceHealth {
    /// Of all unhealthy instances.
    #[must_use]
    pub fn of(mut unhealthy: Vec<UnhealthyInstance>) -> Self {
        let more = unhealthy.len().saturating_sub(MAX_NAMED);
        unhealthy.truncate(MAX_NAMED);
        Self { unhealthy, more: u32::try_from(more).unwrap_or(u32::MAX) }
    }

    /// True if no instance is unhealthy.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        self.unhealthy.is_empty()
    }
}

impl Release {
    /// The health check that runs now: the plan's, while the release is prepared.
    #[must_use]
    pub fn health_check(&self) -> Option<&HealthCheck> {
        self.plan.health.as_ref().filter(|_| matches!(self.phase, Phase::Preparing { .. }))
    }

    /// The health of the candidate's instances, if it blocks the release.
    #[must_use]
    pub fn health_blocker(&self) -> Option<Blocker> {
        self.health_check()?;
        match &self.health {
            None => Some(Blocker::HealthUnknown),
            Some(health) if health.is_healthy() => None,
            Some(health) => Some(Blocker::Health { health: health.clone() }),
        }
    }
}
