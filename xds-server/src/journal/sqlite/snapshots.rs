//! The table `snapshots`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::JournalError;
use super::super::chain::{Hash, Head};
use super::super::snapshot::{Snapshot, SnapshotError, StoredSnapshot};
use tidegate_delivery::units::Timestamp;

/// Snapshots in the file: if the newest is unusable, the previous one may be usable.
const MAX_SNAPSHOTS: u64 = 2;

/// The newest usable snapshot. Newer unusable ones are logged.
pub(super) fn newest(connection: &Connection) -> Result<Option<Snapshot>, JournalError> {
    let mut select = connection.prepare(
        "SELECT seq, hash, at, version, digest, content FROM snapshots ORDER BY seq DESC",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get("seq")?;
        match usable(connection, row, seq)? {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(unusable) => {
                tracing::warn!(seq, %unusable, "snapshot skipped; the start replays more records");
            }
        }
    }
    Ok(None)
}

fn usable(
    connection: &Connection,
    row: &Row<'_>,
    seq: u64,
) -> Result<Result<Snapshot, SnapshotError>, JournalError> {
    let hash: String = row.get("hash")?;
    let digest: String = row.get("digest")?;
    let (Ok(hash), Ok(digest)) = (hash.parse::<Hash>(), digest.parse()) else {
        return Ok(Err(SnapshotError::Damaged));
    };
    let in_chain: Option<String> = connection
        .query_row("SELECT hash FROM events WHERE seq = ?", [seq], |row| row.get(0))
        .optional()?;
    if in_chain != Some(hash.to_string()) {
        return Ok(Err(SnapshotError::Foreign));
    }
    let at = Timestamp(row.get("at")?);
    let version = row.get("version")?;
    let content = row.get("content")?;
    let stored = StoredSnapshot { head: Head { seq, hash }, at, version, digest, content };
    Ok(stored.read())
}

/// Inserts a snapshot and deletes the oldest beyond [`MAX_SNAPSHOTS`].
pub(super) fn insert(
    connection: &mut Connection,
    snapshot: &StoredSnapshot,
) -> Result<(), JournalError> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT OR REPLACE INTO snapshots (seq, hash, at, version, digest, content) \
         VALUES (?, ?, ?, ?, ?, ?)",
        params![
            snapshot.head.seq,
            snapshot.head.hash.to_string(),
            snapshot.at.0,
            snapshot.version,
            snapshot.digest.to_string(),
            snapshot.content,
        ],
    )?;
    transaction.execute(
        "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
        [MAX_SNAPSHOTS],
    )?;
    Ok(transaction.commit()?)
}
