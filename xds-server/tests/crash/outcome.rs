//! The result of a scenario: the journal, the publications, the received calls and the DNS records, without the parts that
//! may depend on crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use tidegate::journal::{FoldedState, Hash, Reader, Record, digest};
use tidegate_delivery::model::event::Event;

use super::crash_trigger::CrashPoint;
use super::crashing_journal::Publications;
use super::environment::{Environment, ReceivedCall, START};

/// Above the number of records of any scenario.
const MAX_RECORDS: usize = 1000;

#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The kinds of the decisions and their actors, in order.
    decisions: Vec<(&'static str, String)>,
    /// The results of effects: their order depends on the responses.
    effects: BTreeMap<String, usize>,
    /// The final state without times, ports and counts.
    state: Value,
    /// The keys of the received calls.
    calls: BTreeSet<String>,
    /// The final DNS records.
    addresses: Vec<std::net::IpAddr>,
}

impl Outcome {
    /// Reads the result, and checks the rules that apply to each run.
    pub(crate) fn read(dir: &Path, environment: &Environment, publications: &Publications) -> Self {
        let journal = Reader::open(&dir.join("data")).unwrap();
        // This verifies the hash chain.
        let (head, folded) = journal.fold(u64::MAX).unwrap();
        let records = journal.read(0, MAX_RECORDS).unwrap();
        assert_eq!(records.last().map(|it| it.seq), Some(head.seq));
        check_publications(&records, &publications.states());
        let received = environment.received();
        check_keys(&received);
        let (mut decisions, mut effects) = (Vec::new(), BTreeMap::new());
        for record in &records {
            match effect(record.event.event()) {
                Some(effect) => *effects.entry(effect).or_default() += 1,
                None => decisions.push((record.event.event().kind(), record.actor.clone())),
            }
        }
        let mut state = serde_json::to_value(&folded.state).unwrap();
        mask_times_ports_and_counts(&mut state, environment);
        let calls = received.iter().map(|it| key_prefix(&it.key).to_owned()).collect();
        Self { decisions, effects, state, calls, addresses: environment.addresses.lock().clone() }
    }

    /// Fails if the result with a crash differs from that without one.
    pub(crate) fn compare(&self, expected: &Self, crash_point: CrashPoint) {
        assert_eq!(self.decisions, expected.decisions, "{crash_point:?}");
        assert_eq!(self.effects, expected.effects, "{crash_point:?}");
        assert_eq!(self.calls, expected.calls, "{crash_point:?}");
        assert_eq!(self.addresses, expected.addresses, "{crash_point:?}");
        assert_eq!(self.state, expected.state, "{crash_point:?}");
    }
}

/// Every published state is the fold of the records on disk at its publication.
fn check_publications(records: &[Record], publications: &[(u64, Hash)]) {
    let mut folded = FoldedState::default();
    let mut folds = BTreeMap::from([(0, digest(&folded.state).unwrap())]);
    for record in records {
        folded.apply(record).unwrap();
        folds.insert(record.seq, digest(&folded.state).unwrap());
    }
    for (newest, state) in publications {
        assert_eq!(folds.get(newest), Some(state), "published after record {newest}");
    }
    // Nothing that changes a resource was decided after the last publication.
    let changing = records.iter().rfind(|record| record.event.event().changes_resources());
    let last = changing.map_or(0, |record| record.seq);
    assert!(
        publications.last().is_some_and(|(newest, _)| *newest >= last),
        "published up to {last}"
    );
}

/// Calls with the same idempotency key have the same body.
fn check_keys(received: &[ReceivedCall]) {
    let mut bodies = BTreeMap::new();
    for ReceivedCall { key, body } in received {
        assert_eq!(bodies.entry(key).or_insert(body), &body, "{key}");
    }
}

/// The result of an effect, if the event is one.
fn effect(event: &Event) -> Option<String> {
    let kind = event.kind();
    match event {
        Event::HookSucceeded { hook, .. } | Event::HookFailed { hook, .. } => {
            Some(format!("{kind} {hook}"))
        }
        Event::DnsUpdated { records, .. } => Some(format!("{kind} {records}")),
        Event::DnsFailed { .. } => Some(kind.to_owned()),
        _ => None,
    }
}

/// An idempotency key without its last part: the number of a record, which depends on the order of the answers, or the
/// digest of a hook's definition, which depends on the receiver's port.
fn key_prefix(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(prefix, _)| prefix)
}

/// What of a finding depends on its counts.
const COUNTS: [&str; 7] =
    ["bad", "requests", "window_ms", "stable", "first_failures", "e_value", "ratio"];

fn mask_times_ports_and_counts(value: &mut Value, environment: &Environment) {
    let masked = match value {
        Value::Array(values) => {
            return values.iter_mut().for_each(|it| mask_times_ports_and_counts(it, environment));
        }
        Value::Object(values) => {
            if let Some(finding) = values.get_mut("finding").and_then(Value::as_object_mut) {
                // Counts depend on the time of the crash.
                finding.retain(|part, _| !COUNTS.contains(&part.as_str()));
            }
            // The text of the configuration contains ports, and the cause of a group rollback contains counts.
            values.retain(|part, _| part != "hash" && part != "why");
            return values.values_mut().for_each(|it| mask_times_ports_and_counts(it, environment));
        }
        Value::Number(number) if number.as_u64().is_some_and(|it| it >= START) => "a time",
        Value::Number(number) if number.as_u64() == Some(environment.receiver.port().into()) => {
            "a port"
        }
        Value::String(text) => {
            for address in [environment.receiver, environment.dns] {
                *text = text.replace(&address.to_string(), "an address");
            }
            return;
        }
        _ => return,
    };
    *value = Value::String(masked.to_owned());
}
