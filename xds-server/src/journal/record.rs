//! Records: one decision each.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::chain::{ChainError, Content, Hash, Head};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::units::Timestamp;

/// A decision before it is appended.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecord {
    /// Journal time of the decision.
    pub at: Timestamp,
    /// The person or component that requested it.
    pub actor: String,
    /// The reason given, if any.
    pub reason: Option<String>,
    /// The decision.
    pub event: Event,
}

/// A decision as appended, linked to the previous one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Consecutive, from 1.
    pub seq: u64,
    /// Journal time of the decision.
    pub at: Timestamp,
    /// The person or component that requested it.
    pub actor: String,
    /// The reason given, if any.
    pub reason: Option<String>,
    /// The decision.
    pub event: RecordedEvent,
    /// Hash of the previous record.
    pub previous: Hash,
    /// Hash of this record, see [`super::chain`].
    pub hash: Hash,
}

/// An event and the JSON that the chain covers. The JSON is stored and sent unchanged, because another version might
/// serialise the same event to other bytes.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    event: Event,
    json: Box<RawValue>,
}

impl Record {
    /// Links a decision to the head of the chain.
    ///
    /// # Errors
    /// If the event cannot be written as JSON.
    pub fn link(head: &Head, new: NewRecord) -> Result<Self, serde_json::Error> {
        let event = RecordedEvent::new(new.event)?;
        let next = head.extend(&Content {
            at: new.at,
            actor: &new.actor,
            reason: new.reason.as_deref(),
            event: event.json(),
        });
        Ok(Self {
            seq: next.seq,
            at: new.at,
            actor: new.actor,
            reason: new.reason,
            event,
            previous: head.hash,
            hash: next.hash,
        })
    }

    /// Verifies that the record follows a head, and returns the head after it.
    ///
    /// # Errors
    /// If it does not follow.
    pub fn verify(&self, before: &Head) -> Result<Head, ChainError> {
        let content = Content {
            at: self.at,
            actor: &self.actor,
            reason: self.reason.as_deref(),
            event: self.event.json(),
        };
        before.verify(self.seq, self.previous, self.hash, &content)
    }
}

impl RecordedEvent {
    fn new(event: Event) -> Result<Self, serde_json::Error> {
        let json = serde_json::value::to_raw_value(&event)?;
        Ok(Self { event, json })
    }

    /// Parses an event and keeps its JSON.
    ///
    /// # Errors
    /// If this version does not know the event.
    pub fn parse(json: String) -> Result<Self, serde_json::Error> {
        let event = serde_json::from_str(&json)?;
        let json = RawValue::from_string(json)?;
        Ok(Self { event, json })
    }

    /// The event.
    #[must_use]
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// The JSON that the chain covers.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get()
    }
}

impl PartialEq for RecordedEvent {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Serialize for RecordedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RecordedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(String::from(Box::<str>::from(json))).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_verifies_after_a_round_trip() {
        let new = NewRecord {
            at: Timestamp(5),
            actor: "anne".to_owned(),
            reason: None,
            event: Event::FlagSet {
                key: "k".to_owned(),
                definition: serde_json::json!({"share": 0.1, "name": "ü\n"}),
            },
        };
        let record = Record::link(&Head::genesis(), new).unwrap();
        let sent = serde_json::to_string(&record).unwrap();
        let read: Record = serde_json::from_str(&sent).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.verify(&Head::genesis()).unwrap().hash, record.hash);
    }

    #[test]
    fn json_of_another_serialiser_is_kept_unchanged() {
        let json = r#"{"key":"k","event":"flag_deleted"}"#;
        let written = RecordedEvent::parse(json.to_owned()).unwrap();
        assert_eq!(serde_json::to_string(&written).unwrap(), json);
    }
}
