//! The table of snapshots: what was kept is read again only by the version that wrote it, and only
//! if it belongs to this very chain.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::JournalError;
use super::super::chain::{Hash, Head};
use super::super::snapshot::{Kept, Snapshot, Unusable};
use tidegate_delivery::units::Timestamp;

/// So many are left in the file: if the newest is unusable, the one before it may be usable.
const LEFT: u64 = 2;

/// The newest snapshot that can be used. Of newer ones that cannot, the operator is told.
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
                tracing::warn!(seq, %unusable, "a snapshot is left aside: more is replayed");
            }
        }
    }
    Ok(None)
}

fn usable(
    connection: &Connection,
    row: &Row<'_>,
    seq: u64,
) -> Result<Result<Snapshot, Unusable>, JournalError> {
    let hash: String = row.get("hash")?;
    let digest: String = row.get("digest")?;
    let (Ok(hash), Ok(digest)) = (hash.parse::<Hash>(), digest.parse()) else {
        return Ok(Err(Unusable::Damaged));
    };
    let of_chain: Option<String> = connection
        .query_row("SELECT hash FROM events WHERE seq = ?", [seq], |row| row.get(0))
        .optional()?;
    if of_chain != Some(hash.to_string()) {
        return Ok(Err(Unusable::Foreign));
    }
    let at = Timestamp(row.get("at")?);
    let version = row.get("version")?;
    let content = row.get("content")?;
    let kept = Kept { head: Head { seq, hash }, at, version, digest, content };
    Ok(kept.read())
}

/// Puts one there, and removes the oldest.
pub(super) fn keep(connection: &mut Connection, kept: &Kept) -> Result<(), JournalError> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT OR REPLACE INTO snapshots (seq, hash, at, version, digest, content) \
         VALUES (?, ?, ?, ?, ?, ?)",
        params![
            kept.head.seq,
            kept.head.hash.to_string(),
            kept.at.0,
            kept.version,
            kept.digest.to_string(),
            kept.content,
        ],
    )?;
    transaction.execute(
        "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
        [LEFT],
    )?;
    Ok(transaction.commit()?)
}
