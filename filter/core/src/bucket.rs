//! Maps a user to a bucket, the number that decides on which side of a traffic split the user is.
//!
//! Sidecars, server and flagd's `fractional` must compute the same hash. It is therefore
//! implemented here and pinned by golden vectors (`testdata/buckets.json`), natively and in WASM.

use crate::config::BUCKETS;

/// The bucket, `0..BUCKETS`, of an identity under a salt.
///
/// A zero byte separates salt and identity, so (`ab`, `c`) and (`a`, `bc`) differ. [`scale`] makes
/// all buckets equally likely, up to one part in 4294.
#[must_use]
pub fn bucket(salt: &[u8], identity: &[u8]) -> u32 {
    let mut hash = Murmur3::default();
    hash.update(salt);
    hash.update(&[0]);
    hash.update(identity);
    scale(hash.finish(), BUCKETS)
}

/// Maps a hash to `0..total`, evenly: `hash * total / 2^32`.
#[must_use]
pub const fn scale(hash: u32, total: u32) -> u32 {
    // Below `total`, because `hash` is below 2^32.
    ((hash as u64 * total as u64) >> 32) as u32
}

/// Incremental `MurmurHash3_x86_32` with seed 0 (Austin Appleby's smhasher, public domain), the
/// hash of flagd's `fractional`.
#[derive(Debug, Default, Clone)]
pub struct Murmur3 {
    hash: u32,
    /// Up to three bytes of an incomplete word, lowest first.
    tail: u32,
    length: u32,
}

impl Murmur3 {
    /// Appends bytes to the input.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let shift = (self.length % 4) * 8;
            self.tail |= u32::from(byte) << shift;
            self.length = self.length.wrapping_add(1);
            if shift == 24 {
                self.hash ^= mix_word(self.tail);
                self.hash = self.hash.rotate_left(13);
                self.hash = self.hash.wrapping_mul(5).wrapping_add(0xe654_6b64);
                self.tail = 0;
            }
        }
    }

    /// The hash of the input so far.
    #[must_use]
    pub const fn finish(&self) -> u32 {
        // mix_word(0) is 0, so an empty tail changes nothing.
        let mut hash = self.hash ^ mix_word(self.tail) ^ self.length;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}

const fn mix_word(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(parts: &[&[u8]]) -> u32 {
        let mut murmur = Murmur3::default();
        parts.iter().for_each(|part| murmur.update(part));
        murmur.finish()
    }

    #[test]
    fn agrees_with_published_murmur3_vectors() {
        assert_eq!(hash(&[b""]), 0);
        assert_eq!(hash(&[b"test"]), 0xba6b_d213);
        assert_eq!(hash(&[b"Hello, world!"]), 0xc036_3e43);
        assert_eq!(hash(&[b"The quick brown fox jumps over the lazy dog"]), 0x2e4f_f723);
        assert_eq!(hash(&[b"\0\0\0\0"]), 0x2362_f9de);
        assert_eq!(hash(&[b"\0"]), 0x514e_28b7);
    }

    proptest! {
        #[test]
        fn the_hash_does_not_depend_on_how_the_input_is_split(input: Vec<u8>, at: prop::sample::Index) {
            let (head, rest) = input.split_at(at.index(input.len() + 1));
            prop_assert_eq!(hash(&[head, rest]), hash(&[&input]));
        }

        #[test]
        fn buckets_stay_in_range(salt: Vec<u8>, identity: Vec<u8>) {
            prop_assert!(bucket(&salt, &identity) < BUCKETS);
        }

        /// With the candidate listed first, a higher weight moves users only towards it, and only
        /// as many as the weight asks for.
        #[test]
        fn a_higher_weight_moves_users_only_to_the_candidate(weights in prop::collection::vec(0..=BUCKETS, 1..6)) {
            let mut weights = weights;
            weights.sort_unstable();
            let users = 2000;
            let mut before = vec![false; users];
            for weight in weights {
                let now: Vec<_> = (0..users)
                    .map(|user| envoy_picks_candidate(bucket(b"order/1", &user.to_le_bytes()), weight))
                    .collect();
                prop_assert!(before.iter().zip(&now).all(|(before, now)| *now || !before));
                let share = now.iter().filter(|on_candidate| **on_candidate).count() as f64;
                let expected = f64::from(weight) / f64::from(BUCKETS) * users as f64;
                // Six standard deviations of the widest binomial over 2000 users.
                prop_assert!((share - expected).abs() < 135.0, "{} {}", share, expected);
                before = now;
            }
        }
    }

    /// Envoy's `WeightedCluster` with `header_name`: the value modulo the total weight, compared in
    /// listed order.
    fn envoy_picks_candidate(header: u32, candidate: u32) -> bool {
        let weights = [candidate, BUCKETS - candidate];
        let value = header % weights.iter().sum::<u32>();
        value < weights[0]
    }

    #[test]
    fn users_are_distributed_evenly() {
        let users = 100_000_u32;
        let mut below = [0_u32; 10];
        for user in 0..users {
            let bucket = bucket(b"salt", user.to_string().as_bytes());
            below[bucket as usize / 100_000] += 1;
        }
        // Binomial(100 000, 0.1) has a standard deviation of 95. The users are fixed, so the test
        // is deterministic.
        assert!(below.iter().all(|&n| n.abs_diff(users / 10) < 400), "{below:?}");
    }
}
