//! What the journal keeps of one decision.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::chain::{Broken, Content, Hash, Head};
use tidegate_delivery::model::event::Event;
use tidegate_delivery::units::Timestamp;

/// A decision that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecord {
    /// When it was made.
    pub at: Timestamp,
    /// Who asked for it.
    pub actor: String,
    /// Why, if they said.
    pub reason: Option<String>,
    /// What was decided.
    pub event: Event,
}

/// A decision as it was written, linked to the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number; the first is 1, and none is left out.
    pub seq: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Who asked for it.
    pub actor: String,
    /// Why, if they said.
    pub reason: Option<String>,
    /// What was decided.
    pub event: Written,
    /// The hash of the record before.
    pub previous: Hash,
    /// Its own hash, see [`super::chain`].
    pub hash: Hash,
}

/// An event and the very JSON that the chain covers. Kept and passed on as it was written: a later
/// version might write the same event in other bytes, and old hashes must still hold.
#[derive(Debug, Clone)]
pub struct Written {
    event: Event,
    json: Box<RawValue>,
}

impl Record {
    /// Links a decision to the chain's head.
    ///
    /// # Errors
    /// When the event cannot be written as JSON.
    pub fn link(head: &Head, new: NewRecord) -> Result<Self, serde_json::Error> {
        let event = Written::new(new.event)?;
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

    /// The chain's head once this record is verified to follow from the one before.
    ///
    /// # Errors
    /// When it does not.
    pub fn verify(&self, before: &Head) -> Result<Head, Broken> {
        let content = Content {
            at: self.at,
            actor: &self.actor,
            reason: self.reason.as_deref(),
            event: self.event.json(),
        };
        before.verify(self.seq, self.previous, self.hash, &content)
    }
}

impl Written {
    fn new(event: Event) -> Result<Self, serde_json::Error> {
        let json = serde_json::value::to_raw_value(&event)?;
        Ok(Self { event, json })
    }

    /// Reads an event, and keeps what it was read from.
    ///
    /// # Errors
    /// When it is none that this version knows.
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

    /// Its JSON, byte for byte.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get()
    }
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(String::from(Box::<str>::from(json))).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_sent_and_read_still_verifies() {
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
    fn bytes_are_kept_even_where_they_are_not_ours() {
        let ours = r#"{"key":"k","event":"flag_deleted"}"#;
        let written = Written::parse(ours.to_owned()).unwrap();
        assert_eq!(serde_json::to_string(&written).unwrap(), ours);
    }
}
