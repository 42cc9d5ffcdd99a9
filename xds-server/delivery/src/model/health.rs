//! Whether the candidate's instances are well before it gets any traffic.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::blocker::Blocker;
use crate::model::plan::HealthCheck;
use crate::model::release::{Phase, Release};

/// Most instances that are named; of the others there is the number.
pub const MAX_NAMED: usize = 5;
/// Most of what is wrong with one that the journal keeps, in characters.
const MAX_WHY: usize = 200;

/// What was found of the candidate's instances last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceHealth {
    /// Instances that are not well: the first few, by name.
    pub unhealthy: Vec<UnhealthyInstance>,
    /// How many others are not.
    pub more: u32,
}

/// One instance that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnhealthyInstance {
    /// `host:port`.
    pub endpoint: String,
    /// What is wrong.
    pub why: String,
}

impl UnhealthyInstance {
    /// What is wrong with an instance, in no more words than the journal keeps.
    #[must_use]
    pub fn new(endpoint: String, why: &str) -> Self {
        Self { endpoint, why: why.chars().take(MAX_WHY).collect() }
    }
}

impl InstanceHealth {
    /// Of all that are not well.
    #[must_use]
    pub fn of(mut unhealthy: Vec<UnhealthyInstance>) -> Self {
        let more = unhealthy.len().saturating_sub(MAX_NAMED);
        unhealthy.truncate(MAX_NAMED);
        Self { unhealthy, more: u32::try_from(more).unwrap_or(u32::MAX) }
    }

    /// Whether all are well.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        self.unhealthy.is_empty()
    }
}

/// The unhealthy instances, each with its reason.
impl fmt::Display for InstanceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, UnhealthyInstance { endpoint, why }) in self.unhealthy.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{endpoint} ({why})")?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

impl Release {
    /// What is to be asked of its candidate's instances now, if anything.
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
