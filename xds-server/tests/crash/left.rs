//! What a story left behind: on the disk, with the sidecars, and with those who were told. And
//! what of it must not depend on crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use tidegate::journal::{FoldedState, Hash, Reader, Record, digest};
use tidegate_delivery::model::event::Event;

use super::fuse::Cut;
use super::mortal::Sent;
use super::outside::{BEGIN, Heard, Outside};

/// More than any story has.
const ALL: usize = 1000;

#[derive(Debug, PartialEq)]
pub(crate) struct Left {
    /// What was decided and by whom, in order.
    decided: Vec<(&'static str, String)>,
    /// What came of effects: in whatever order the world answered.
    done: BTreeMap<String, usize>,
    /// Where it ended, without times, ports and counts.
    state: Value,
    /// Whoever was told something, by the message's key.
    told: BTreeSet<String>,
    /// What DNS answers with.
    addresses: Vec<std::net::IpAddr>,
}

impl Left {
    /// Reads it all, and holds it against the rules that each run must keep by itself.
    pub(crate) fn behind(dir: &Path, outside: &Outside, sent: &Sent) -> Self {
        let journal = Reader::open(&dir.join("data")).unwrap();
        // Verifies the chain.
        let (head, folded) = journal.fold(u64::MAX).unwrap();
        let records = journal.read(0, ALL).unwrap();
        assert_eq!(records.last().map(|it| it.seq), Some(head.seq));
        only_what_was_journaled(&records, &sent.states());
        let heard = outside.heard();
        each_key_says_one_thing(&heard);
        let (mut decided, mut done) = (Vec::new(), BTreeMap::new());
        for record in &records {
            match effect(record.event.event()) {
                Some(effect) => *done.entry(effect).or_default() += 1,
                None => decided.push((record.event.event().kind(), record.actor.clone())),
            }
        }
        let mut state = serde_json::to_value(&folded.state).unwrap();
        forget_times_ports_and_counts(&mut state, outside);
        let told = heard.iter().map(|it| without_number(&it.key).to_owned()).collect();
        Self { decided, done, state, told, addresses: outside.addresses.lock().clone() }
    }

    /// The same story must have come out.
    pub(crate) fn compare(&self, peace: &Self, cut: Cut) {
        assert_eq!(self.decided, peace.decided, "{cut:?}");
        assert_eq!(self.done, peace.done, "{cut:?}");
        assert_eq!(self.told, peace.told, "{cut:?}");
        assert_eq!(self.addresses, peace.addresses, "{cut:?}");
        assert_eq!(self.state, peace.state, "{cut:?}");
    }
}

/// Whatever sidecars were sent is what the whole journal said in that moment.
fn only_what_was_journaled(records: &[Record], sent: &[(u64, Hash)]) {
    let mut folded = FoldedState::default();
    let mut folds = BTreeMap::from([(0, digest(&folded.state).unwrap())]);
    for record in records {
        folded.apply(record).unwrap();
        folds.insert(record.seq, digest(&folded.state).unwrap());
    }
    for (newest, state) in sent {
        assert_eq!(folds.get(newest), Some(state), "sent after record {newest}");
    }
    // Nothing that changes a resource was decided after the last publication.
    let changing = records.iter().rfind(|record| record.event.event().changes_resources());
    let last = changing.map_or(0, |record| record.seq);
    assert!(sent.last().is_some_and(|(newest, _)| *newest >= last), "published up to {last}");
}

/// Who has seen a key may forget the message.
fn each_key_says_one_thing(heard: &[Heard]) {
    let mut said = BTreeMap::new();
    for Heard { key, body } in heard {
        assert_eq!(said.entry(key).or_insert(body), &body, "{key}");
    }
}

/// What an effect reported, if it is such an event.
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

/// A message's key without the number of its record, which depends on who answered first.
fn without_number(key: &str) -> &str {
    match key.rsplit_once('/') {
        Some((name, number)) if number.parse::<u64>().is_ok() => name,
        _ => key,
    }
}

fn forget_times_ports_and_counts(value: &mut Value, outside: &Outside) {
    let forgotten = match value {
        Value::Array(values) => {
            return values.iter_mut().for_each(|it| forget_times_ports_and_counts(it, outside));
        }
        Value::Object(values) => {
            if let Some(finding) = values.get_mut("finding").and_then(Value::as_object_mut) {
                // How much was counted depends on since when.
                finding
                    .retain(|part, _| !["bad", "requests", "window_ms"].contains(&part.as_str()));
            }
            // The configuration's text names ports, and why another of a group went back says counts.
            values.retain(|part, _| part != "hash" && part != "why");
            return values.values_mut().for_each(|it| forget_times_ports_and_counts(it, outside));
        }
        Value::Number(number) if number.as_u64().is_some_and(|it| it >= BEGIN) => "a time",
        Value::Number(number) if number.as_u64() == Some(outside.receiver.port().into()) => {
            "a port"
        }
        Value::String(text) => {
            for address in [outside.receiver, outside.dns] {
                *text = text.replace(&address.to_string(), "an address");
            }
            return;
        }
        _ => return,
    };
    *value = Value::String(forgotten.to_owned());
}
