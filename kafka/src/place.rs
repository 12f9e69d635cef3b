//! Where a partition is read, by what was handed over. Pure.

use crate::memory::RECORD_BYTES;

/// Most records that one call of librdkafka brings. Its clocks and statistics are paid once for all of them, and are a hundredth of the
/// cost of a record then; and where records suddenly are large, so many of them at most go above a limit of bytes.
pub(crate) const BATCH: usize = 16;

/// A partition's place in its log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Behind the last record that was handed over and the control records after it, or where reading began.
    pub(crate) next: i64,
    /// The leader epoch of the last record (KIP-320).
    pub(crate) leader_epoch: Option<i32>,
    /// No record was larger of late, in bytes; before the first, as large as Kafka takes them by default.
    largest: usize,
}

impl Place {
    /// Reading begins here.
    pub(crate) fn at(next: i64, leader_epoch: Option<i32>) -> Self {
        Self { next, leader_epoch, largest: usize::try_from(RECORD_BYTES).unwrap_or(usize::MAX) }
    }

    /// How many records to ask for, where so many more may come.
    pub(crate) fn batch(&self, records: usize, bytes: usize) -> usize {
        records.min(bytes / self.largest.max(1)).clamp(1, BATCH)
    }

    /// Nothing is left to be handed over below this offset.
    pub(crate) fn reached(&mut self, position: i64) {
        self.next = self.next.max(position);
    }

    /// Whether an offset that is not in the log is this one. Where the client has gone astray, it is another (below 0: it is not said).
    pub(crate) fn is_lost(&self, offset: i64) -> bool {
        offset < 0 || offset == self.next
    }

    /// A record was handed over, of so many bytes.
    pub(crate) fn took(&mut self, offset: i64, leader_epoch: Option<i32>, bytes: usize) {
        (self.next, self.leader_epoch) = (offset + 1, leader_epoch);
        self.largest = bytes.max(self.largest - self.largest / 256);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn it_is_behind_the_last_record_whatever_is_missing_before() {
        let mut place = Place::at(7, Some(2));
        assert_eq!((place.next, place.leader_epoch), (7, Some(2)));
        place.took(7, Some(3), 100);
        place.took(11, None, 100);
        assert_eq!((place.next, place.leader_epoch), (12, None));
        place.reached(14); // two markers
        place.reached(13);
        assert_eq!((place.next, place.is_lost(14), place.is_lost(15), place.is_lost(-1001)), (14, true, false, true));
    }

    #[test]
    fn many_come_at_once_when_none_was_large_for_a_while() {
        let mut place = Place::at(0, None);
        for round in 0..2 {
            let mut sizes = vec![place.batch(1000, MIB)];
            for _ in 0..2000 {
                place.took(place.next, None, 100);
                sizes.push(place.batch(1000, MIB));
            }
            sizes.dedup();
            assert_eq!(sizes, if round == 0 { (1..=BATCH).collect() } else { vec![BATCH] });
        }
        assert_eq!((place.batch(3, MIB), place.batch(1000, 1), place.batch(0, 0)), (3, 1, 1));
        place.took(place.next, None, MIB);
        assert_eq!(place.batch(1000, MIB), 1);
    }
}
