//! What is in memory, held against what is counted (L5). Pages are watched from outside, by whether they are still there.

use std::collections::BTreeMap;
use std::sync::Weak;

use super::*;
use crate::seam::{ArenaBuilder, NewRecord};
use crate::simulation::rng::Rng;

/// Records that have a page of their own together, when their values have [`VALUE`] bytes.
const PAGE: u32 = 64;
const VALUE: usize = 200;

/// A ledger, and what the shell and the processor have.
struct Watched {
    ledger: Ledger,
    next: i64,
    /// The pages as they came.
    came: Vec<Weak<Page>>,
    undone: Vec<Undone>,
}

struct Undone {
    seq: u64,
    offset: i64,
    /// What the processor has of it.
    out: Option<Record>,
}

impl Watched {
    fn new(spare_max: u64) -> Self {
        let mut ledger = Ledger::new(0, -1, Vec::new());
        ledger.spare_max = spare_max;
        Self { ledger, next: 0, came: Vec::new(), undone: Vec::new() }
    }

    /// A poll batch comes, some records of which were done before.
    fn receive(&mut self, count: u32, bytes: usize, mut done_before: impl FnMut() -> bool) {
        let value = vec![7; bytes];
        let mut batch = ArenaBuilder::with_capacity(count as usize, count as usize * bytes);
        for _ in 0..count {
            batch.push(NewRecord { offset: self.next, value: Some(&value), ..NewRecord::default() }).unwrap();
            self.next += 1;
        }
        let arena = batch.finish();
        for (page, places) in arena.pages(0..count) {
            self.came.push(Arc::downgrade(page));
            let segment = self.ledger.add_page(Arc::clone(page));
            let (records, mut together) = (places.end - places.start, 0);
            for index in places {
                let (offset, weight) = (page.offset(index), page.weight(index));
                together += u64::from(weight);
                if done_before() {
                    self.ledger.push_done(offset, -1);
                } else {
                    let seq = self.ledger.push(page, segment, index, weight);
                    self.undone.push(Undone { seq, offset, out: None });
                }
            }
            self.ledger.settle_page(segment, records, together);
        }
        self.ledger.tidy();
    }

    /// The processor gets a record.
    fn start(&mut self, place: usize) {
        let one = &mut self.undone[place];
        one.out = self.ledger.start(one.seq).map(|(_, record)| record);
    }

    /// A record fails, and waits.
    fn fail(&mut self, place: usize) {
        let one = &mut self.undone[place];
        one.out = None;
        self.ledger.set(one.seq, State::Waiting);
        self.ledger.tidy();
    }

    fn end(&mut self, place: usize) {
        let one = self.undone.remove(place);
        drop(one.out);
        self.ledger.done(one.seq);
    }

    /// Ends all but the first ones.
    fn end_all_but(&mut self, kept: usize) {
        while self.undone.len() > kept {
            self.end(kept);
        }
    }

    /// Bytes of the pages that somebody keeps.
    fn in_memory(&self) -> u64 {
        let came = self.came.iter().filter_map(Weak::upgrade);
        let all = came.chain(self.ledger.segments.pages().cloned());
        let pages: BTreeMap<*const Page, u64> = all.map(|page| (Arc::as_ptr(&page), page.footprint())).collect();
        pages.values().sum()
    }

    /// Whether a page is here that did not come.
    fn has_copies(&self) -> bool {
        let came: Vec<*const Page> = self.came.iter().map(Weak::as_ptr).collect();
        self.ledger.segments.pages().any(|page| !came.contains(&Arc::as_ptr(page)))
    }

    fn check(&self) {
        let (counted, taken) = (self.ledger.held(), self.in_memory());
        assert!(taken <= counted + counted / 4, "{taken} bytes are in memory, {counted} are counted");
        let (segments, spare_max) = (&self.ledger.segments, self.ledger.spare_max);
        assert!(segments.spare() <= spare_max, "{} bytes would be given back", segments.spare());
        if self.undone.iter().all(|one| one.out.is_none()) {
            let most = 2 * segments.live() + segments.pages().count() as u64 + spare_max;
            assert!(segments.pinned() <= most, "{} bytes for {}", segments.pinned(), segments.live());
        }
        for one in &self.undone {
            assert_eq!(self.ledger.record(one.seq).map(|record| record.offset()), Some(one.offset));
        }
    }
}

#[test]
fn in_any_order_no_more_is_in_memory_than_is_counted() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut watched = Watched::new([0, 2 << 10, 64 << 10][rng.below(3)]);
        for _ in 0..200 {
            let place = rng.below(watched.undone.len());
            match rng.below(16) {
                0 => {
                    let (count, bytes) = (1 + rng.below(150), [0, 10, 100, 1000, 20_000][rng.below(5)]);
                    let chance = rng.below(101);
                    watched.receive(u32::try_from(count).unwrap(), bytes, || rng.percent(chance));
                }
                _ if watched.undone.is_empty() => {}
                1..=5 => watched.start(place),
                6..=9 => watched.fail(place),
                _ => {
                    let left = watched.undone.len().saturating_sub(rng.below(8));
                    while watched.undone.len() > left {
                        watched.end(rng.below(watched.undone.len()));
                    }
                }
            }
            watched.check();
        }
        watched.end_all_but(0);
        assert_eq!((watched.ledger.held(), watched.in_memory()), (0, 0), "seed {seed}");
    }
}

/// A hot key, whose records stand in their lane while all others are done: it had the batches in memory, uncounted.
#[test]
fn one_record_of_each_page_takes_little_more_than_itself() {
    let mut watched = Watched::new(64 << 10);
    for kept in 1..=1000 {
        watched.receive(PAGE, VALUE, || false);
        watched.end_all_but(kept);
    }
    watched.check();
    let (counted, taken) = (watched.ledger.held(), watched.in_memory());
    assert!(taken < 600 << 10, "{taken} bytes for 1000 records of {VALUE}");
    assert!(counted < 3 << 20, "{counted} bytes, 2 MB of which are entries of what is done");
}

#[test]
fn pages_that_are_worked_off_in_their_order_are_not_copied() {
    let mut watched = Watched::new(32 << 10);
    for _ in 0..20 {
        watched.receive(4 * PAGE, VALUE, || false);
        while !watched.undone.is_empty() {
            watched.start(0);
            watched.end(0);
            assert!(!watched.has_copies());
        }
    }
    assert_eq!(watched.in_memory(), 0);
}

/// A copy would not free it, for the processor has it.
#[test]
fn a_page_of_a_record_that_is_out_counts_as_a_whole_until_it_is_back() {
    let mut watched = Watched::new(0);
    for kept in 1..=50 {
        watched.receive(PAGE, VALUE, || false);
        watched.start(kept - 1);
        watched.end_all_but(kept);
    }
    watched.check();
    assert!(!watched.has_copies() && watched.in_memory() > 50 * u64::from(PAGE) * VALUE as u64);
    (0..50).for_each(|place| watched.fail(place));
    watched.check();
    assert!(watched.in_memory() < 50 * 2 * VALUE as u64, "{} bytes for 50 records", watched.in_memory());
}

#[test]
fn a_page_of_which_an_earlier_owner_did_most_is_compacted_when_it_comes() {
    let mut watched = Watched::new(0);
    let mut number = 0;
    watched.receive(10 * PAGE, VALUE, || {
        number += 1;
        number % PAGE != 1
    });
    watched.check();
    assert_eq!(watched.undone.len(), 10);
    assert!(watched.in_memory() < 10 * 2 * VALUE as u64, "{} bytes for 10 records", watched.in_memory());
}

#[test]
fn entries_take_what_is_counted_for_them_and_give_it_back() {
    assert_eq!(size_of::<Entry>(), ENTRY_BYTES as usize);
    let mut watched = Watched::new(0);
    for _ in 0..500 {
        watched.receive(200, 0, || false);
        watched.end_all_but(1);
        let (entries, room) = (watched.ledger.ring.len(), watched.ledger.ring.capacity());
        assert!(room <= entries + (entries / 4).max(16), "room for {room}, {entries} are there");
    }
    watched.end(0);
    assert!(watched.ledger.ring.capacity() <= RING_KEPT, "{}", watched.ledger.ring.capacity());
}
