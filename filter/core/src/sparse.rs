//! Bucket counts as they travel: only the buckets that hold something.

use thiserror::Error;
use tidegate_proto::report::v1::Histogram as Message;

/// Why a histogram from the network was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HistogramError {
    /// The two lists of the message must be of equal length.
    #[error("{indexes} bucket indexes but {counts} counts")]
    Lengths {
        /// Length of `index`.
        indexes: usize,
        /// Length of `count`.
        counts: usize,
    },
    /// Indexes must rise, so that no bucket comes twice.
    #[error("bucket index {0} does not rise")]
    Order(u32),
    /// There are only so many buckets.
    #[error("bucket index {index} is out of range (there are {buckets} buckets)")]
    Range {
        /// The refused index.
        index: u32,
        /// How many there are.
        buckets: usize,
    },
    /// The counts sum to more than a `u64` holds.
    #[error("the counts overflow")]
    Overflow,
}

/// The buckets that hold something.
pub(crate) fn write(counts: &[u64]) -> Message {
    let mut message = Message::default();
    for (index, &count) in (0..).zip(counts) {
        if count > 0 {
            message.index.push(index);
            message.count.push(count);
        }
    }
    message
}

/// Fills empty buckets with what a message says.
pub(crate) fn read(message: &Message, counts: &mut [u64]) -> Result<(), HistogramError> {
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
