//! Sparse encoding of bucket counts: only buckets that are not empty.

use thiserror::Error;
use tidegate_proto::report::v1::Histogram as Message;

/// A malformed histogram message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HistogramError {
    /// `index` and `count` differ in length.
    #[error("{indexes} bucket indexes but {counts} counts")]
    Lengths {
        /// Length of `index`.
        indexes: usize,
        /// Length of `count`.
        counts: usize,
    },
    /// Indexes must be strictly ascending.
    #[error("bucket index {0} is not above the one before it")]
    Order(u32),
    /// An index beyond the last bucket.
    #[error("bucket index {index} is out of range (there are {buckets} buckets)")]
    Range {
        /// The index.
        index: u32,
        /// Number of buckets.
        buckets: usize,
    },
    /// The sum of the counts exceeds `u64`.
    #[error("the counts overflow")]
    Overflow,
}

pub(crate) fn encode(counts: &[u64]) -> Message {
    let mut message = Message::default();
    for (index, &count) in (0..).zip(counts) {
        if count > 0 {
            message.index.push(index);
            message.count.push(count);
        }
    }
    message
}

/// Decodes a message into `counts`, which must be all zero.
pub(crate) fn decode(message: &Message, counts: &mut [u64]) -> Result<(), HistogramError> {
    if message.index.len() != message.count.len() {
        return Err(HistogramError::Lengths {
            indexes: message.index.len(),
            counts: message.count.len(),
        });
    }
    let buckets = counts.len();
    let mut next = 0;
    let mut total = 0_u64;
    for (&index, &count) in message.index.iter().zip(&message.count) {
        if index < next {
            return Err(HistogramError::Order(index));
        }
        let slot = usize::try_from(index).ok().and_then(|index| counts.get_mut(index));
        *slot.ok_or(HistogramError::Range { index, buckets })? = count;
        total = total.checked_add(count).ok_or(HistogramError::Overflow)?;
        next = index + 1;
    }
    Ok(())
}
