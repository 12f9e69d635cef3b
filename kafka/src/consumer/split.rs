//! A partition with a queue of its own, and whether what the client says of it is to be believed.

use std::ffi::CString;
use std::time::Instant;

use crate::native::queue::Queue;
use crate::place::Place;

/// A partition with a queue of its own. Kept for as long as the consumer lives, whoever owns the partition meanwhile.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) queue: Queue,
    pub(super) topic: CString,
    pub(super) reading: Reading,
    /// The topic was re-created: what is buffered lies in another log, at an offset that means nothing there.
    pub(super) recreated: bool,
    pub(super) left: Left,
    pub(super) place: Place,
}

/// Whether a partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It is not ours.
    No,
    Yes,
    /// An error came behind its last record, and where the client stands now is not to be believed (`Taken::error`).
    Failed,
    /// The client has given it up since, and is to take it again at this time.
    Rests(Instant),
}

impl Reading {
    /// Whether the client has it.
    pub(super) fn is_assigned(self) -> bool {
        matches!(self, Self::Yes | Self::Failed)
    }
}

/// Where a partition stood before it was told to read on elsewhere. The client says so for a while yet: it forgets with the fetcher that it
/// stops, on another thread (`rd_kafka_toppar_fetch_stopped` in rdkafka_partition.c). Whoever believed it would pass over what lies before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left(pub(super) Option<i64>);

impl Left {
    /// What is to be believed of a position that the client tells.
    pub(super) fn behind(self, position: Option<i64>) -> Option<i64> {
        position.filter(|position| self.0 != Some(*position))
    }

    /// Records came from where it reads now.
    pub(super) fn after(self, records: usize) -> Self {
        Self(self.0.filter(|_| records == 0))
    }
}

impl Split {
    pub(super) fn maybe_ready(&self) -> bool {
        self.reading == Reading::Yes && !self.recreated && self.queue.maybe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_left_is_not_believed_until_records_come_from_the_new_one() {
        let left = Left(Some(50)).after(0);
        assert_eq!([left.behind(Some(50)), left.behind(None), left.behind(Some(11))], [None, None, Some(11)]);
        assert_eq!(left.after(1).behind(Some(50)), Some(50), "as far as before, in earnest");
        assert_eq!(Left::default().behind(Some(50)), Some(50));
    }
}
