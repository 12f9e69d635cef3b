//! When the machine, or the harness, was late. That stretches limits that are told by the clock, and explains nothing else.

use super::{Disturbance, Micros};

/// Two spans with less than this between them are one: nobody caught up in between.
const BREATH: Micros = 500_000;
/// What was late is done so long after it.
const AFTERMATH: Micros = 2_000_000;
/// A session less a heartbeat, and what a drain leaves for its last commit: a machine that is late for so long takes partitions
/// without asking.
const STANDSTILL: Micros = 5_000_000;

/// Spans in which somebody was late.
#[derive(Clone, Debug, Default)]
pub struct Late {
    /// In their order, and apart.
    spans: Vec<(Micros, Micros)>,
}

impl Late {
    /// From what was measured, in any order.
    pub fn of(mut measured: Vec<(Micros, Micros)>) -> Self {
        measured.sort_unstable();
        let mut spans: Vec<(Micros, Micros)> = Vec::new();
        for (from, until) in measured {
            match spans.last_mut() {
                Some((_, before)) if from <= *before + BREATH => *before = until.max(*before),
                _ => spans.push((from, until)),
            }
        }
        Self { spans }
    }

    /// Whether nobody ever was.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How much longer something may have taken that began and ended then.
    pub fn within(&self, from: Micros, until: Micros) -> Micros {
        let there = self.spans.iter().filter(|(late, over)| *late <= until && over.saturating_add(AFTERMATH) >= from);
        there.map(|(late, over)| over - late).sum()
    }

    /// The spans so long that they did what a pause of everybody does.
    pub fn standstills(&self) -> impl Iterator<Item = Disturbance> {
        let long = self.spans.iter().filter(|(from, until)| until - from >= STANDSTILL);
        long.map(|(from, until)| {
            let what = format!("a machine that was {} ms late", (until - from) / 1000);
            Disturbance { worker: None, from: *from, until: until + STANDSTILL + AFTERMATH, what }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_counts_for_what_it_was_measured() {
        let late = Late::of(vec![(20_000_000, 21_000_000), (10_000_000, 11_000_000), (10_500_000, 12_000_000)]);
        assert_eq!(late.within(0, 9_000_000), 0);
        assert_eq!(late.within(0, 10_000_000), 2_000_000);
        assert_eq!(late.within(14_000_000, 15_000_000), 2_000_000, "its aftermath");
        assert_eq!(late.within(15_000_000, 16_000_000), 0);
        assert_eq!(late.within(0, 30_000_000), 3_000_000);
        assert_eq!(late.standstills().count(), 0);
    }

    #[test]
    fn only_a_machine_that_stands_still_takes_partitions() {
        let spans = |each: Micros| (0..6).map(|turn| (turn * 1_200_000, turn * 1_200_000 + each)).collect();
        assert_eq!(Late::of(spans(1_000_000)).standstills().count(), 1, "one late answer after the other");
        assert_eq!(Late::of(spans(300_000)).standstills().count(), 0);
    }
}
