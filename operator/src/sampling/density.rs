//! How many records there are per offset: below 1 where compaction or transaction markers took places.

use penstock_crds::checkpoint::Checkpoint;

/// Offsets over which a ratio means something: markers come by transactions, not by records.
const OFFSETS_MIN: f64 = 200.0;
/// Weight of a new ratio.
const NEWEST: f64 = 0.3;

/// The density of one partition, learned from what its worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Density {
    learned: Option<f64>,
    anchor: Option<Anchor>,
}

/// Where a comparison begins. Counters are compared within one owner and incarnation only.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Anchor {
    owner: u64,
    incarnation: u64,
    processed: u64,
    position: i64,
}

impl Density {
    /// Records per offset, 0..=1; 1 until something else was learned.
    pub fn per_offset(&self) -> f64 {
        self.learned.unwrap_or(1.0)
    }

    /// Takes in one more checkpoint, committed at `offset`.
    #[must_use]
    pub fn after(self, offset: i64, checkpoint: &Checkpoint) -> Self {
        let Some(counters) = &checkpoint.counters else { return self };
        let done: i64 = checkpoint.done.iter().map(|run| run.end.saturating_sub(run.start)).sum();
        let position = offset.saturating_add(done);
        let here = Anchor {
            owner: checkpoint.owner,
            incarnation: counters.incarnation,
            processed: counters.processed,
            position,
        };
        let Some(anchor) = self.anchor.filter(|anchor| anchor.precedes(&here)) else {
            return Self { anchor: Some(here), ..self };
        };
        let offsets = (here.position - anchor.position) as f64;
        if offsets < OFFSETS_MIN {
            return self;
        }
        let ratio = ((here.processed - anchor.processed) as f64 / offsets).clamp(0.0, 1.0);
        let learned = self.learned.map_or(ratio, |old| old + NEWEST * (ratio - old));
        Self { learned: Some(learned), anchor: Some(here) }
    }
}

impl Anchor {
    fn precedes(&self, here: &Self) -> bool {
        (self.owner, self.incarnation) == (here.owner, here.incarnation)
            && self.processed <= here.processed
            && self.position <= here.position
    }
}

#[cfg(test)]
mod tests {
    use penstock_crds::checkpoint::Counters;

    use super::*;

    fn checkpoint(owner: u64, processed: u64) -> Checkpoint {
        let counters = Counters { incarnation: 1, processed, ..Counters::default() };
        Checkpoint { owner, counters: Some(counters), ..Checkpoint::default() }
    }

    #[test]
    fn half_the_offsets_are_records() {
        let density = Density::default().after(0, &checkpoint(1, 0)).after(1000, &checkpoint(1, 500));
        assert!((density.per_offset() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn few_offsets_another_owner_or_a_step_back_teach_nothing() {
        let start = Density::default().after(0, &checkpoint(1, 0));
        for next in [
            start.after(100, &checkpoint(1, 1)),
            start.after(1000, &checkpoint(2, 1)),
            start.after(-5, &checkpoint(1, 9)),
        ] {
            assert!((next.per_offset() - 1.0).abs() < 1e-9);
        }
    }
}
