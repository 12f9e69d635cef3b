//! Which dead letters of a partition were sent back: a position, and those above it, since `--key` leaves others lying between. Kept like
//! a worker's own progress, as a checkpoint beside the committed offset. Pure.

use std::ops::Range;

use penstock_crds::checkpoint::{self, Checkpoint, Place};

/// Characters that a broker surely takes beside an offset: a quarter of Kafka's default.
const CHECKPOINT_CHARS: usize = 1000;

/// How far a partition of the dead-letter topic is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The offset that was seen last, plus one.
    next: i64,
    /// The first letter that was left lying.
    first_left: Option<i64>,
    /// Sent back above that one, in this run.
    done: Vec<Range<i64>>,
    /// Sent back by earlier runs.
    before: Vec<Range<i64>>,
}

impl Progress {
    /// From what was committed; `position` is where reading begins.
    pub(super) fn resume(position: i64, text: &str, place: &Place<'_>) -> Self {
        let before = checkpoint::decode(text, place).map(|checkpoint| checkpoint.done).unwrap_or_default();
        Self { next: position, first_left: None, done: Vec::new(), before }
    }

    /// Whether an earlier run sent the letter back.
    pub(super) fn was_sent(&self, offset: i64) -> bool {
        self.before.iter().any(|run| run.contains(&offset))
    }

    /// A letter was read, and sent back or left lying. They come in the order of their offsets.
    pub(super) fn saw(&mut self, offset: i64, sent: bool) {
        self.next = offset + 1;
        match (self.first_left, sent) {
            (None, false) => self.first_left = Some(offset),
            (None, true) | (Some(_), false) => {}
            (Some(_), true) => match self.done.last_mut() {
                Some(run) if run.end == offset => run.end += 1,
                _ => self.done.push(offset..offset + 1),
            },
        }
    }

    /// Nothing else lies below `end`.
    pub(super) fn reached(&mut self, end: i64) {
        self.next = self.next.max(end);
    }

    /// The offset to commit: behind what earlier runs sent back, where nothing was left lying before that.
    pub(super) fn position(&self) -> i64 {
        let sent = || self.before.iter().find(|run| run.contains(&self.next)).map(|run| run.end);
        self.first_left.unwrap_or_else(|| sent().unwrap_or(self.next))
    }

    /// What to commit beside it; `None` if it does not fit: too many letters that were sent back lie among others that were not.
    pub(super) fn text(&self, place: &Place<'_>) -> Option<String> {
        let later = self.before.iter().filter(|run| run.end > self.next).map(|run| run.start.max(self.next)..run.end);
        let mut done = self.done.clone();
        for run in later.filter(|run| run.start > self.position()) {
            match done.last_mut() {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => done.push(run),
            }
        }
        let encoded = checkpoint::encode(&Checkpoint { done, ..Checkpoint::default() }, place, CHECKPOINT_CHARS);
        (!encoded.done_cut).then_some(encoded.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: i64) -> Place<'static> {
        Place { cluster_id: "c1", topic_id: 7, partition: 3, offset, leader_epoch: -1 }
    }

    fn resumed(progress: &Progress) -> Progress {
        let place = place(progress.position());
        Progress::resume(progress.position(), &progress.text(&place).unwrap(), &place)
    }

    #[test]
    fn letters_left_lying_are_found_by_the_next_run_and_no_others() {
        let mut progress = Progress::resume(10, "", &place(10));
        for (offset, sent) in [(10, true), (11, false), (12, true), (13, true), (15, false), (16, true)] {
            progress.saw(offset, sent);
        }
        assert_eq!(progress.position(), 11);
        let mut next = resumed(&progress);
        assert_eq!((11..18).filter(|offset| next.was_sent(*offset)).collect::<Vec<_>>(), [12, 13, 16]);
        next.saw(11, true);
        next.saw(12, true);
        assert_eq!(next.position(), 14, "cut short within what the first run sent");
        let third = resumed(&next);
        assert_eq!((14..18).filter(|offset| third.was_sent(*offset)).collect::<Vec<_>>(), [16]);
    }

    #[test]
    fn a_run_to_the_end_commits_the_end() {
        let mut progress = Progress::resume(0, "", &place(0));
        progress.saw(0, true);
        progress.reached(5);
        assert_eq!(progress.position(), 5);
    }

    #[test]
    fn what_would_not_fit_is_refused() {
        let mut progress = Progress::resume(0, "", &place(0));
        (0..100_000).for_each(|offset| progress.saw(offset * 7, offset % 2 == 1));
        assert_eq!(progress.text(&place(0)), None);
    }
}
