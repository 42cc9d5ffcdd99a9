//! The spans of releases, from the events of the journal. One trace for each release:
//!
//! ```text
//! release                  ReleaseStarted … Completed or RolledBack; an error if it is rolled back
//! ├─ prepare               until the first step
//! ├─ step, step, …         one for each weight, the last one at 100 %; alerts and pauses are events
//! └─ rollback              at the decision, also of a completed release
//! ```
//!
//! The identifiers are hashes of the release and of the span's start, so that a restart continues a trace. Names have few
//! values; what varies is in the attributes: `deployment.id`, `deployment.name` and `deployment.status` of the semantic
//! conventions, and `tidegate.…`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Event as SpanEvent, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest as _, Sha256};

use crate::journal::Record;
use tidegate_delivery::model::event::Event;
use tidegate_delivery::model::release::{Phase, Release};
use tidegate_delivery::model::state::State;
use tidegate_delivery::names::{ReleaseId, VersionName};
use tidegate_delivery::units::{Ppm, Timestamp};

/// Most events of a span; further ones are counted as dropped.
const MAX_EVENTS: usize = 128;

/// The open traces.
#[derive(Debug, Default)]
pub(super) struct Traces {
    running: BTreeMap<ReleaseId, Trace>,
    /// The newest completed release of each service, which can still be rolled back.
    completed: BTreeMap<String, Trace>,
}

/// The trace of a release, with the span of its present step.
#[derive(Debug)]
struct Trace {
    id: TraceId,
    root: SpanId,
    since: Timestamp,
    attributes: Vec<KeyValue>,
    current: Span,
}

#[derive(Debug)]
struct Span {
    name: &'static str,
    since: Timestamp,
    attributes: Vec<KeyValue>,
    events: SpanEvents,
}

impl Traces {
    /// The releases of a state: those that run, and those that can be rolled back after their end.
    pub(super) fn of(state: &State) -> Self {
        let mut traces = Self::default();
        for service in state.services.values() {
            let Some(release) = &service.release else { continue };
            let trace = Trace::resumed(release);
            match release.phase {
                Phase::RolledBack { .. } => {}
                Phase::Completed { .. } => {
                    traces.completed.insert(release.service.to_string(), trace);
                }
                Phase::Preparing { .. } | Phase::Stepping { .. } | Phase::Watching { .. } => {
                    traces.running.insert(release.id.clone(), trace);
                }
            }
        }
        traces
    }

    /// The spans that a record ends.
    pub(super) fn apply(&mut self, record: &Record) -> Vec<SpanData> {
        let at = record.at;
        let event = record.event.event();
        match event {
            Event::ReleaseStarted { id, candidate, stable, .. } => {
                let mut trace = Trace::new(id, candidate, stable, at);
                trace.attributes.push(KeyValue::new("tidegate.actor", record.actor.clone()));
                self.running.insert(id.clone(), trace);
                Vec::new()
            }
            Event::StepEntered { id, step, weight, .. } => {
                let Some(trace) = self.running.get_mut(id) else { return Vec::new() };
                let next = Span::step(Some(*step), *weight, at);
                let ended = std::mem::replace(&mut trace.current, next);
                vec![trace.child(ended, at, Status::Unset)]
            }
            Event::Completed { id, .. } => {
                let Some(mut trace) = self.running.remove(id) else { return Vec::new() };
                let mut spans = vec![trace.end_current(at, Status::Unset)];
                spans.push(trace.root(at, "succeeded", Status::Ok));
                self.completed.insert(id.service().to_owned(), trace);
                spans
            }
            Event::RolledBack { id, cause, .. } => {
                let Some(mut trace) = self.running.remove(id) else { return Vec::new() };
                let failed = || Status::error(cause.to_string());
                let mut spans = vec![trace.end_current(at, failed())];
                spans.push(trace.child(Span::new("rollback", at), at, failed()));
                spans.push(trace.root(at, "failed", failed()));
                spans
            }
            Event::StableRestored { service, cause, .. } => {
                let trace = self.completed.remove(service.as_str());
                let failed = Status::error(cause.to_string());
                trace
                    .map(|it| it.child(Span::new("rollback", at), at, failed))
                    .into_iter()
                    .collect()
            }
            _ => {
                if let Some(trace) = event.release().and_then(|id| self.running.get_mut(id)) {
                    trace.current.record(event, at);
                }
                Vec::new()
            }
        }
    }
}

impl Trace {
    fn new(id: &ReleaseId, candidate: &VersionName, stable: &VersionName, at: Timestamp) -> Self {
        let hash = Sha256::digest(format!("release {id} {}", at.0));
        Self {
            id: TraceId::from_bytes(first(&hash)),
            root: span_id(&Sha256::digest(format!("root {id} {}", at.0))),
            since: at,
            attributes: vec![
                KeyValue::new("deployment.id", id.to_string()),
                KeyValue::new("deployment.name", id.service().to_string()),
                KeyValue::new("tidegate.candidate", candidate.to_string()),
                KeyValue::new("tidegate.stable", stable.to_string()),
            ],
            current: Span::new("prepare", at),
        }
    }

    /// As of a state: events of the present step before it are missing.
    fn resumed(release: &Release) -> Self {
        let Release { id, candidate, stable, started_at, started_by, .. } = release;
        let mut trace = Self::new(id, candidate, stable, *started_at);
        trace.attributes.push(KeyValue::new("tidegate.actor", started_by.clone()));
        match release.phase {
            Phase::Stepping { since, .. } | Phase::Watching { since, .. } => {
                trace.current = Span::step(release.step(), release.weight(), since);
            }
            Phase::Preparing { .. } | Phase::Completed { .. } | Phase::RolledBack { .. } => {}
        }
        trace
    }

    fn end_current(&mut self, at: Timestamp, status: Status) -> SpanData {
        let ended = std::mem::replace(&mut self.current, Span::new("ended", at));
        self.child(ended, at, status)
    }

    fn child(&self, span: Span, end: Timestamp, status: Status) -> SpanData {
        let Span { name, since, attributes, events } = span;
        let hash = Sha256::digest(format!("{} {name} {}", self.id, since.0));
        let parent_span_id = self.root;
        let data = self.span(span_id(&hash), name, since, end);
        SpanData { parent_span_id, attributes, events, status, ..data }
    }

    fn root(&self, end: Timestamp, outcome: &'static str, status: Status) -> SpanData {
        let mut attributes = self.attributes.clone();
        attributes.push(KeyValue::new("deployment.status", outcome));
        SpanData { attributes, status, ..self.span(self.root, "release", self.since, end) }
    }

    fn span(&self, id: SpanId, name: &'static str, since: Timestamp, end: Timestamp) -> SpanData {
        SpanData {
            span_context: SpanContext::new(
                self.id,
                id,
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: time(since),
            end_time: time(end),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("tidegate").build(),
        }
    }
}

impl Span {
    fn new(name: &'static str, since: Timestamp) -> Self {
        Self { name, since, attributes: Vec::new(), events: SpanEvents::default() }
    }

    /// `index` counts from 0.
    fn step(index: Option<usize>, weight: Ppm, since: Timestamp) -> Self {
        let number = index.and_then(|it| i64::try_from(it.saturating_add(1)).ok());
        let mut span = Self::new("step", since);
        span.attributes.extend(number.map(|it| KeyValue::new("tidegate.step", it)));
        span.attributes.push(KeyValue::new("tidegate.weight_percent", weight.fraction() * 100.0));
        span
    }

    fn record(&mut self, event: &Event, at: Timestamp) {
        if self.events.events.len() >= MAX_EVENTS {
            self.events.dropped_count = self.events.dropped_count.saturating_add(1);
            return;
        }
        let finding = match event {
            Event::AlertRaised { finding, .. } | Event::PausedByGuardrail { finding, .. } => {
                Some(finding)
            }
            _ => None,
        };
        let attributes = finding.into_iter().flat_map(|it| {
            [
                KeyValue::new("tidegate.guardrail", String::from(it.guardrail.clone())),
                KeyValue::new("tidegate.limit", it.limit.to_string()),
                KeyValue::new("tidegate.bad", i64::try_from(it.bad).unwrap_or(i64::MAX)),
                KeyValue::new("tidegate.requests", i64::try_from(it.requests).unwrap_or(i64::MAX)),
            ]
        });
        let event = SpanEvent::new(event.kind(), time(at), attributes.collect(), 0);
        self.events.events.push(event);
    }
}

fn first<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, hashed) in bytes.iter_mut().zip(hash) {
        *byte = *hashed;
    }
    bytes
}

fn span_id(hash: &[u8]) -> SpanId {
    SpanId::from_bytes(first(hash))
}

fn time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)
}
