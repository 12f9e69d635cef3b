//! Hashes that say the same in every process: for lanes and for jitter.
//!
//! Folded multiplication, as in wyhash. Not against adversaries: keys that collide share a lane, and are parked together,
//! nothing worse. Checkpoints hold hashes of parked keys: another function would need another section there.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const FINISHER: u64 = 0xd6e8_feb8_6659_fd93;

#[expect(clippy::cast_possible_truncation, reason = "both halves of the product are used")]
const fn fold(left: u64, right: u64) -> u64 {
    let product = left as u128 * right as u128;
    product as u64 ^ (product >> 64) as u64
}

/// Hash of some bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = FINISHER ^ bytes.len() as u64;
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), MULTIPLIER);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(fold(hash ^ u64::from_le_bytes(last), MULTIPLIER), FINISHER)
}

/// Hash of a number on top of another hash.
pub(crate) const fn with(hash: u64, number: u64) -> u64 {
    fold(hash ^ number ^ FINISHER, MULTIPLIER)
}

/// Passes a 64-bit hash through to a `HashMap`, which would hash it once more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity(u64);

impl core::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = of_bytes(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_hashes_as_it_always_did() {
        assert_eq!(
            [of_bytes(b""), of_bytes(b"customer-4711")],
            [1_240_548_846_944_876_420, 12_359_829_684_322_319_506]
        );
    }
}
