//! Records as rows of the table `events`.

use rusqlite::{Connection, Row, params};

use super::super::chain::{Content, Hash, Head};
use super::super::{ChainError, JournalError, Record, RecordedEvent};
use tidegate_delivery::units::Timestamp;

pub(super) const COLUMNS: &str = "seq, at, actor, reason, event, previous, hash";
/// A page ends once its events exceed so many bytes: one flag document may have a million.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// As [`super::Journal::read`].
pub(super) fn page(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> Result<Vec<Record>, JournalError> {
    let select = format!("SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?");
    let mut select = connection.prepare_cached(&select)?;
    // Record numbers fit SQLite's signed integers.
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![after, limit])?;
    let mut records = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let raw = Raw::of(row)?;
        bytes += raw.event.len();
        records.push(raw.parse()?);
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(records)
}

/// Verifies the chain after a head, and returns its end.
pub(super) fn verify(connection: &Connection, from: Head) -> Result<Head, JournalError> {
    let select = format!("SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq");
    let mut select = connection.prepare(&select)?;
    let mut rows = select.query([from.seq])?;
    let mut head = from;
    while let Some(row) = rows.next()? {
        let raw = Raw::of(row)?;
        let (previous, hash) = raw.hashes()?;
        let content = Content {
            at: Timestamp(raw.at),
            actor: &raw.actor,
            reason: raw.reason.as_deref(),
            event: &raw.event,
        };
        head = head.verify(raw.seq, previous, hash, &content)?;
    }
    Ok(head)
}

/// A row before its hashes and event are parsed.
struct Raw {
    seq: u64,
    at: u64,
    actor: String,
    reason: Option<String>,
    event: String,
    previous: String,
    hash: String,
}

impl Raw {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            at: row.get("at")?,
            actor: row.get("actor")?,
            reason: row.get("reason")?,
            event: row.get("event")?,
            previous: row.get("previous")?,
            hash: row.get("hash")?,
        })
    }

    fn hashes(&self) -> Result<(Hash, Hash), ChainError> {
        let hash = |text: &str| text.parse().map_err(|_| ChainError::Altered(self.seq));
        Ok((hash(&self.previous)?, hash(&self.hash)?))
    }

    fn parse(self) -> Result<Record, JournalError> {
        let (previous, hash) = self.hashes()?;
        let seq = self.seq;
        let unreadable = |source| JournalError::Unreadable { seq, source };
        Ok(Record {
            seq,
            at: Timestamp(self.at),
            actor: self.actor,
            reason: self.reason,
            event: RecordedEvent::parse(self.event).map_err(unreadable)?,
            previous,
            hash,
        })
    }
}
