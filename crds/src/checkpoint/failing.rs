//! Records that failed and are not done: how often they were tried survives rebalances and crashes (S6).
//!
//! One section holds (offset distance, attempts × 32 + class) in ascending order; a second one, the first to be left
//! out, holds for how many seconds each of them has been failing.

use super::wire::{Reader, put_section, put_varint, section_bytes, value_room, varint_bytes};
use super::{ErrorClass, TAG_FAILING, TAG_FAILING_SECONDS};

/// A record that failed and is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Its offset, at or above the frontier.
    pub offset: i64,
    /// Charged attempts, ≥ 1.
    pub attempts: u32,
    /// Why it failed last.
    pub class: ErrorClass,
    /// For how long it has been failing, over all owners; 0 where that was left out.
    pub seconds: u32,
}

/// Which of the records fit.
pub(super) struct Choice {
    /// Told is every record with at least so many attempts; 1 tells all, `u32::MAX` none.
    pub(super) attempts_min: u32,
    /// Bytes that records with two or more attempts take in the section.
    pub(super) often_bytes: usize,
}

/// Decides about the records with two or more attempts: all of them, or none.
pub(super) fn choose(failing: &[Failing], frontier: i64, room: usize) -> Choice {
    let often_bytes = value(failing, frontier, 2).len();
    let fits = section_bytes(often_bytes) <= room;
    Choice { attempts_min: if fits { 2 } else { u32::MAX }, often_bytes: if fits { often_bytes } else { 0 } }
}

/// Appends what fits into `room`, and returns how many records that told.
pub(super) fn put(body: &mut Vec<u8>, failing: &[Failing], choice: &Choice, frontier: i64, room: usize) -> usize {
    let spare = room - body.len();
    let all = value(failing, frontier, 1);
    let (bytes, attempts_min) = match choice.attempts_min {
        // Not even the often-tried ones fit together: the lowest offsets, which are the likeliest to be stuck.
        u32::MAX => return put_lowest(body, failing, frontier, spare),
        _ if section_bytes(all.len()) <= spare => (all, 1),
        least => (value(failing, frontier, least), least),
    };
    if bytes.is_empty() {
        return 0;
    }
    put_section(body, TAG_FAILING, &bytes);
    let told = failing.iter().filter(|record| record.attempts >= attempts_min);
    let mut seconds = Vec::new();
    told.clone().for_each(|record| put_varint(&mut seconds, u64::from(record.seconds)));
    if section_bytes(seconds.len()) <= room - body.len() {
        put_section(body, TAG_FAILING_SECONDS, &seconds);
    }
    told.count()
}

fn put_lowest(body: &mut Vec<u8>, failing: &[Failing], frontier: i64, spare: usize) -> usize {
    let Some(room) = value_room(spare) else { return 0 };
    let often: Vec<Failing> = failing.iter().filter(|record| record.attempts >= 2).copied().collect();
    let mut told = 0;
    let mut bytes = 0;
    let mut previous = frontier;
    for record in &often {
        bytes += record_bytes(record, previous);
        if bytes > room {
            break;
        }
        previous = record.offset;
        told += 1;
    }
    if told > 0 {
        put_section(body, TAG_FAILING, &value(&often[..told], frontier, 2));
    }
    told
}

/// The section's value for records with at least so many attempts.
fn value(failing: &[Failing], frontier: i64, attempts_min: u32) -> Vec<u8> {
    let mut value = Vec::new();
    let mut previous = frontier;
    for record in failing.iter().filter(|record| record.attempts >= attempts_min) {
        put_varint(&mut value, (record.offset - previous).cast_unsigned());
        put_varint(&mut value, packed(record));
        previous = record.offset;
    }
    value
}

fn packed(record: &Failing) -> u64 {
    u64::from(record.attempts) << 5 | u64::from(record.class.code())
}

fn record_bytes(record: &Failing, previous: i64) -> usize {
    varint_bytes((record.offset - previous).cast_unsigned()) + varint_bytes(packed(record))
}

pub(super) fn read(value: &mut Reader<'_>, frontier: i64) -> Option<Vec<Failing>> {
    let mut failing = Vec::new();
    let mut offset = frontier;
    while !value.is_empty() {
        offset = offset.checked_add(i64::try_from(value.varint()?).ok()?)?;
        let packed = value.varint()?;
        let attempts = u32::try_from(packed >> 5).ok()?;
        failing.push(Failing { offset, attempts, class: ErrorClass::of((packed & 31) as u8), seconds: 0 });
    }
    Some(failing)
}

/// Seconds belong to the records in order; a list of another length is a newer writer's business.
pub(super) fn read_seconds(value: &mut Reader<'_>, failing: &mut [Failing]) {
    for record in failing {
        let Some(seconds) = value.varint() else { return };
        record.seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
}
