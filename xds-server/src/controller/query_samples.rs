//! The samples of query guardrails, between the effect that asks and the controller that decides.
//!
//! The controller begins a series with each step. A sample that an earlier step asked for is dropped. The lock is held for one
//! lookup or one sample. Memory: a few hundred bytes for each query of a running release.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_delivery::judge::queries::{QueryGuardrail, QuerySeries, Sample};
use tidegate_delivery::names::{MetricName, ReleaseId};
use tidegate_delivery::units::Timestamp;

/// The series of the current step of each running release.
#[derive(Debug, Clone, Default)]
pub struct QuerySamples(Arc<Mutex<BTreeMap<ReleaseId, Step>>>);

#[derive(Debug)]
struct Step {
    step: Option<usize>,
    began: Timestamp,
    series: BTreeMap<MetricName, QuerySeries>,
}

impl QuerySamples {
    /// Adds the result of a query that a step of a release asked for.
    pub fn observe(
        &self,
        now: Timestamp,
        release: &ReleaseId,
        step: Option<usize>,
        result: Result<Sample, &str>,
        guardrail: &QueryGuardrail,
    ) {
        let mut steps = self.0.lock();
        let Some(current) = steps.get_mut(release).filter(|it| it.step == step) else { return };
        let began = current.began;
        let series = current.series.entry(guardrail.name.clone());
        series.or_insert_with(|| QuerySeries::begin(began)).observe(now, result, guardrail);
    }

    /// The series of a query; an empty one before its first result.
    pub(super) fn series(
        &self,
        now: Timestamp,
        release: &ReleaseId,
        name: &MetricName,
    ) -> QuerySeries {
        let steps = self.0.lock();
        let step = steps.get(release);
        let series = step.and_then(|it| it.series.get(name)).cloned();
        series.unwrap_or_else(|| QuerySeries::begin(step.map_or(now, |it| it.began)))
    }

    pub(super) fn begin(&self, now: Timestamp, release: &ReleaseId, step: Option<usize>) {
        let begun = Step { step, began: now, series: BTreeMap::new() };
        self.0.lock().insert(release.clone(), begun);
    }

    pub(super) fn end(&self, release: &ReleaseId) {
        self.0.lock().remove(release);
    }
}
