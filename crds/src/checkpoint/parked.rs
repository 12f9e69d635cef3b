//! Parked keys: which keys' records go to the dead letters, and which of those have come back.
//!
//! One section holds, for each key, the hash in eight bytes (lowest first) and three varints: generation, letters, expected.
//! A worker that does not know the section is one that does not know `onExhausted: ParkKey` either and refuses the pipeline.

use super::TAG_PARKED;
use super::wire::{Reader, put_section, put_varint, value_room, varint_bytes};

/// A key of which a record failed for good and has not come back yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    /// Hash of the key's bytes: 64 bits, the same in every version.
    pub key: u64,
    /// Offset of the record that failed. It tells this parking of the key from all others, ≥ 0.
    pub generation: i64,
    /// Dead letters of this parking so far, numbered from 1: the record that failed and those that followed it.
    pub letters: u64,
    /// Number of the letter whose record is to come back next: those below were acknowledged. 1 to `letters`.
    pub expected: u64,
}

impl ParkedKey {
    /// Bytes that it takes in the section.
    pub fn bytes(&self) -> usize {
        8 + varint_bytes(self.generation.cast_unsigned()) + varint_bytes(self.letters) + varint_bytes(self.expected)
    }

    /// Letters that have not come back, or not well.
    pub fn outstanding(&self) -> u64 {
        self.letters.saturating_sub(self.expected) + 1
    }
}

/// Appends as many keys as fit into `room` bytes of body, the first ones. Returns how many had to be left out.
pub(super) fn put(body: &mut Vec<u8>, parked: &[ParkedKey], room: usize) -> usize {
    let Some(room) = value_room(room - body.len()) else { return parked.len() };
    let mut value = Vec::new();
    let mut told = 0;
    for key in parked {
        if value.len() + key.bytes() > room {
            break;
        }
        value.extend_from_slice(&key.key.to_le_bytes());
        for number in [key.generation.cast_unsigned(), key.letters, key.expected] {
            put_varint(&mut value, number);
        }
        told += 1;
    }
    if told > 0 {
        put_section(body, TAG_PARKED, &value);
    }
    parked.len() - told
}

pub(super) fn read(value: &mut Reader<'_>) -> Option<Vec<ParkedKey>> {
    let mut parked = Vec::new();
    while !value.is_empty() {
        let key = u64::from_le_bytes(value.take()?);
        let generation = i64::try_from(value.varint()?).ok()?;
        let (letters, expected) = (value.varint()?, value.varint()?);
        (1..=letters).contains(&expected).then_some(())?;
        parked.push(ParkedKey { key, generation, letters, expected });
    }
    Some(parked)
}
