//! The done-set: offsets above the frontier that are done, as runs or as a bitmap, whichever is smaller.
//!
//! Runs are pairs of varints (undone offsets − 1, done offsets − 1), counted from the frontier, which is never done
//! itself. In the bitmap, bit `i` of the value (lowest bit first) stands for offset frontier + 1 + `i`.

use core::ops::Range;

use super::wire::{Reader, put_section, put_varint, section_bytes, value_room};
use super::{TAG_DONE_BITMAP, TAG_DONE_RUNS};

/// Appends the done-set to `body`, which may grow to `room` bytes. Returns whether the highest part had to be cut off.
pub(super) fn put(body: &mut Vec<u8>, done: &[Range<i64>], frontier: i64, room: usize) -> bool {
    let (Some(last), Some(value_room)) = (done.last(), value_room(room - body.len())) else {
        return !done.is_empty();
    };
    let (runs, runs_told) = runs(done, frontier, value_room);
    let bits = usize::try_from(last.end - frontier - 1).unwrap_or(usize::MAX);
    // A bitmap that is longer than the runs is not even built: the span may be millions.
    let whole_bitmap = bits.div_ceil(8);
    if runs_told == done.len() && runs.len() <= whole_bitmap {
        put_section(body, TAG_DONE_RUNS, &runs);
        return false;
    }
    let bitmap = bitmap(done, frontier, whole_bitmap.min(value_room));
    let bitmap_end = frontier.saturating_add(1).saturating_add_unsigned(bitmap.len() as u64 * 8);
    let told_by_bitmap: i64 = done.iter().map(|run| (run.end.min(bitmap_end) - run.start).max(0)).sum();
    let told_by_runs: i64 = done[..runs_told].iter().map(|run| run.end - run.start).sum();
    if told_by_bitmap >= told_by_runs {
        put_section(body, TAG_DONE_BITMAP, &bitmap);
        bitmap.len() < whole_bitmap
    } else {
        if section_bytes(runs.len()) + body.len() <= room && !runs.is_empty() {
            put_section(body, TAG_DONE_RUNS, &runs);
        }
        runs_told < done.len()
    }
}

/// The lowest runs that fit, and how many of them.
fn runs(done: &[Range<i64>], frontier: i64, room: usize) -> (Vec<u8>, usize) {
    let mut value = Vec::new();
    let mut previous_end = frontier;
    for (told, run) in done.iter().enumerate() {
        let before = value.len();
        put_varint(&mut value, (run.start - previous_end - 1).cast_unsigned());
        put_varint(&mut value, (run.end - run.start - 1).cast_unsigned());
        if value.len() > room {
            value.truncate(before);
            return (value, told);
        }
        previous_end = run.end;
    }
    (value, done.len())
}

/// The first `bytes` of the bitmap.
fn bitmap(done: &[Range<i64>], frontier: i64, bytes: usize) -> Vec<u8> {
    let mut value = vec![0_u8; bytes];
    let bits = bytes * 8;
    for run in done {
        let bit = |offset: i64| usize::try_from(offset - frontier - 1).unwrap_or(usize::MAX).min(bits);
        for index in bit(run.start)..bit(run.end) {
            value[index / 8] |= 1 << (index % 8);
        }
    }
    value
}

pub(super) fn read_runs(value: &mut Reader<'_>, frontier: i64) -> Option<Vec<Range<i64>>> {
    let mut done = Vec::new();
    let mut end = frontier;
    while !value.is_empty() {
        let start = step(end, value.varint()?)?;
        end = step(start, value.varint()?)?;
        done.push(start..end);
    }
    Some(done)
}

pub(super) fn read_bitmap(value: &mut Reader<'_>, frontier: i64) -> Option<Vec<Range<i64>>> {
    let mut done: Vec<Range<i64>> = Vec::new();
    let mut offset = frontier;
    while let Some(byte) = value.byte() {
        for bit in 0..8 {
            offset = offset.checked_add(1)?;
            if byte & (1 << bit) == 0 {
                continue;
            }
            let end = offset.checked_add(1)?;
            match done.last_mut() {
                Some(last) if last.end == offset => last.end = end,
                _ => done.push(offset..end),
            }
        }
    }
    Some(done)
}

/// One more than `distance` further on.
fn step(from: i64, distance: u64) -> Option<i64> {
    from.checked_add(i64::try_from(distance).ok()?)?.checked_add(1)
}
