//! What a worker may dead-letter at most, naively: never so much, of so many keys, in so short a time.

use core::time::Duration;
use std::collections::BTreeSet;

use super::truth::{Checked, violated};
use crate::policy;
use crate::time::Instant;

/// Half of what the engine looks back: a dead letter may have waited for the one before it in its lane.
const WINDOW: Duration = Duration::from_secs(30);

/// Partition, key, and the record where it has none.
type Key = (usize, Option<u8>, usize);

/// What a worker has seen since it began, or since its fuse healed.
#[derive(Debug, Default)]
pub(super) struct FuseTruth {
    /// Records taken; more than the engine may have counted.
    pub(super) taken: usize,
    /// Records that failed for good here, and not under an earlier owner.
    condemned: BTreeSet<(usize, usize)>,
    /// When which key was dead-lettered; a record without a key counts for itself.
    letters: Vec<(Instant, Key)>,
    pub(super) blown: bool,
}

impl FuseTruth {
    /// A record failed for good.
    pub(super) fn condemn(&mut self, tp: usize, index: usize) {
        self.condemned.insert((tp, index));
    }

    /// A dead letter is written for the first time.
    pub(super) fn letter(
        &mut self,
        limits: policy::Fuse,
        tp: usize,
        key: Option<u8>,
        index: usize,
        now: Instant,
    ) -> Checked {
        if !self.condemned.remove(&(tp, index)) {
            return Ok(());
        }
        self.letters.push((now, (tp, key, if key.is_none() { index } else { 0 })));
        let recent = self.letters.iter().filter(|(at, _)| now.since(*at) < WINDOW);
        let dead = recent.clone().count();
        let keys = recent.map(|(_, key)| key).collect::<BTreeSet<_>>().len();
        let share = dead * 100 > limits.percent_max as usize * (limits.head_start as usize + dead + self.taken);
        if keys >= limits.keys_min as usize && share {
            return violated("fuse", format!("{dead} dead letters of {keys} keys, and {} were taken", self.taken));
        }
        Ok(())
    }
}
