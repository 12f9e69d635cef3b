//! Parked keys of a partition: a key of which a record failed for good, until all of its dead letters have come back in order.
//!
//! The letters of one parking are numbered: 1 is the record that failed, those that came after it follow. The parking is named by
//! the offset of the first (its *generation*), so that letters of an earlier parking cannot pass for this one's. A record that comes
//! back tells its number, and only the number that is due is called: so the order holds however often, and in whichever order, letters
//! are sent round. It survives in the checkpoint.

use penstock_crds::checkpoint::{ParkedKey, varint_bytes};

use crate::seam::{LetterNumber, Redriven};

/// Keys that a partition may have parked at once. Each takes some 15 bytes of the checkpoint: 64 take a quarter of the 4096
/// characters that brokers allow. So many bad keys in one partition are no matter of single records any more.
pub(crate) const KEYS_MAX: usize = 64;

/// Bytes that a parked key may still grow by before its room is looked at again: either number passes 127.
const GROWTH_BYTES: usize = 2;
/// Tag and length of the section.
const SECTION_BYTES: usize = 3;

/// What is to be done with a record of a key that may be parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The key is not parked.
    Free,
    /// It is the letter that is due: it is called.
    Due,
    /// It is the letter that is due, or the key is not parked, and whoever redrove it wants it to be passed over.
    Dropped,
    /// It was acknowledged before: at-least-once tools repeat themselves.
    Known,
    /// It goes to the dead letters, after those before it.
    After(LetterNumber),
}

/// Kept in the order of parking. `letters` is 0 while the first letter is on its way.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    keys: Vec<ParkedKey>,
}

impl Parking {
    /// From a checkpoint.
    pub(crate) fn restore(keys: Vec<ParkedKey>) -> Self {
        Self { keys }
    }

    /// For the checkpoint: those whose first letter is confirmed.
    pub(crate) fn told(&self) -> Vec<ParkedKey> {
        self.keys.iter().filter(|parked| parked.letters > 0).copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the key has a place here, be it that its first letter is still on its way.
    pub(crate) fn has(&self, key: u64) -> bool {
        self.get(key).is_some()
    }

    /// What is to be done with a record of the key.
    pub(crate) fn turn(&self, key: u64, redriven: Option<Redriven>) -> Turn {
        let Some(parked) = self.get(key).filter(|parked| parked.letters > 0) else {
            return if redriven.is_some_and(|back| back.discard) { Turn::Dropped } else { Turn::Free };
        };
        match own(parked, redriven) {
            Some(Redriven { letter, .. }) if letter.number < parked.expected => Turn::Known,
            Some(Redriven { letter, discard, past_gaps }) if letter.number == parked.expected || past_gaps => {
                if discard { Turn::Dropped } else { Turn::Due }
            }
            _ => Turn::After(next_letter(parked, redriven)),
        }
    }

    /// Keeps a place for a key whose first letter will be written.
    pub(crate) fn reserve(&mut self, key: u64, generation: i64) {
        if !self.has(key) {
            self.keys.push(ParkedKey { key, generation, letters: 0, expected: 1 });
        }
    }

    /// The number of the dead letter that is about to be written of a record of the key.
    pub(crate) fn number(&self, key: u64, offset: i64, redriven: Option<Redriven>) -> LetterNumber {
        let first = LetterNumber { generation: offset, number: 1 };
        self.get(key).filter(|parked| parked.letters > 0).map_or(first, |parked| next_letter(parked, redriven))
    }

    /// A letter is on its topic.
    pub(crate) fn lettered(&mut self, key: u64, letter: LetterNumber) {
        self.reserve(key, letter.generation);
        let Some(parked) = self.keys.iter_mut().find(|parked| parked.key == key) else { return };
        if parked.letters == 0 {
            parked.generation = letter.generation;
        }
        parked.letters = parked.letters.max(letter.number);
    }

    /// A record of the key was acknowledged. Returns whether that ended the parking.
    pub(crate) fn acknowledged(&mut self, key: u64, redriven: Option<Redriven>) -> bool {
        if !matches!(self.turn(key, redriven), Turn::Due | Turn::Dropped) {
            return false;
        }
        let (Some(place), Some(Redriven { letter, .. })) = (self.keys.iter().position(|one| one.key == key), redriven)
        else {
            return false;
        };
        let parked = &mut self.keys[place];
        parked.expected = letter.number + 1;
        let over = parked.expected > parked.letters;
        if over {
            self.keys.remove(place);
        }
        over
    }

    /// Forgets a key: only a deliberately wrong engine does.
    pub(crate) fn forget(&mut self, key: u64) {
        self.keys.retain(|parked| parked.key != key);
    }

    /// Bytes that the section may take.
    pub(crate) fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(|parked| parked.bytes() + GROWTH_BYTES).sum();
        if keys == 0 { 0 } else { keys + SECTION_BYTES }
    }

    /// Bytes that one more key takes.
    pub(crate) fn bytes_of(generation: i64) -> usize {
        8 + varint_bytes(generation.cast_unsigned()) + 2 + GROWTH_BYTES + SECTION_BYTES
    }

    fn get(&self, key: u64) -> Option<&ParkedKey> {
        self.keys.iter().find(|parked| parked.key == key)
    }
}

/// The number that the record has in this parking.
fn own(parked: &ParkedKey, redriven: Option<Redriven>) -> Option<Redriven> {
    redriven.filter(|Redriven { letter, .. }| {
        letter.generation == parked.generation && (1..=parked.letters).contains(&letter.number)
    })
}

/// A record that came back keeps its number; one that comes for the first time gets the next.
fn next_letter(parked: &ParkedKey, redriven: Option<Redriven>) -> LetterNumber {
    let next = LetterNumber { generation: parked.generation, number: parked.letters + 1 };
    own(parked, redriven).map_or(next, |redriven| redriven.letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn redriven(generation: i64, number: u64) -> Redriven {
        Redriven { letter: LetterNumber { generation, number }, discard: false, past_gaps: false }
    }

    fn parked(letters: u64) -> Parking {
        let mut parking = Parking::default();
        for number in 1..=letters {
            parking.lettered(7, LetterNumber { generation: 40, number });
        }
        parking
    }

    #[test]
    fn followers_go_after_the_record_that_failed() {
        let mut parking = Parking::default();
        assert_eq!(parking.turn(7, None), Turn::Free);
        parking.reserve(7, 40);
        assert_eq!((parking.turn(7, None), parking.told()), (Turn::Free, vec![]), "nothing is written yet");
        let first = parking.number(7, 40, None);
        parking.lettered(7, first);
        assert_eq!(parking.turn(7, None), Turn::After(LetterNumber { generation: 40, number: 2 }));
        assert_eq!(parking.turn(8, None), Turn::Free);
    }

    #[test]
    fn only_the_letter_that_is_due_is_called() {
        let mut parking = parked(3);
        assert_eq!(parking.turn(7, Some(redriven(40, 2))), Turn::After(LetterNumber { generation: 40, number: 2 }));
        assert_eq!(parking.turn(7, Some(redriven(39, 1))), Turn::After(LetterNumber { generation: 40, number: 4 }));
        assert!(!parking.acknowledged(7, Some(redriven(40, 2))), "out of turn");
        assert_eq!(parking.turn(7, Some(redriven(40, 1))), Turn::Due);
        assert!(!parking.acknowledged(7, Some(redriven(40, 1))));
        assert_eq!(parking.turn(7, Some(redriven(40, 1))), Turn::Known);
        assert_eq!(parking.told()[0].outstanding(), 2);
        assert!(!parking.acknowledged(7, Some(redriven(40, 2))));
        assert!(parking.acknowledged(7, Some(redriven(40, 3))), "all came back");
        assert_eq!(parking.turn(7, None), Turn::Free);
    }

    #[test]
    fn a_letter_that_fails_again_keeps_its_number() {
        let mut parking = parked(2);
        let again = parking.number(7, 90, Some(redriven(40, 1)));
        assert_eq!(again, LetterNumber { generation: 40, number: 1 });
        parking.lettered(7, again);
        assert_eq!(parking.told(), [ParkedKey { key: 7, generation: 40, letters: 2, expected: 1 }]);
    }

    #[test]
    fn whoever_redrives_may_give_up_letters() {
        let mut parking = parked(3);
        let dropped = Some(redriven(40, 1)).map(|redriven| Redriven { discard: true, ..redriven });
        assert_eq!(parking.turn(7, dropped), Turn::Dropped);
        assert!(!parking.acknowledged(7, dropped));
        let past = Some(redriven(40, 3)).map(|redriven| Redriven { past_gaps: true, ..redriven });
        assert_eq!(parking.turn(7, past), Turn::Due);
        assert!(parking.acknowledged(7, past));
    }
}
