//! What each cell is to reach, and whether it did.

use crate::arm::Arm;
use crate::cell::{Cell, Task};

/// Medians of one arm in one cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Medians {
    /// Records a second.
    pub(crate) rate: f64,
    /// Microseconds of CPU a record.
    pub(crate) cpu: f64,
}

/// Something to reach.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// Of what, and how much.
    pub(crate) what: String,
    /// What was measured, as the goal counts it.
    pub(crate) measured: f64,
    /// Whether that is enough.
    pub(crate) is_kept: bool,
}

impl Goal {
    fn at_least(what: &str, measured: f64, least: f64) -> Self {
        Self { what: format!("{what} ≥ {least}"), measured, is_kept: measured >= least }
    }

    fn at_most(what: &str, measured: f64, most: f64) -> Self {
        Self { what: format!("{what} ≤ {most}"), measured, is_kept: measured <= most }
    }

    /// In a table.
    pub(crate) fn row(&self) -> String {
        let Self { what, measured, is_kept } = self;
        format!("| {what} | {measured:.2} | {} |\n", verdict(*is_kept))
    }
}

pub(crate) fn verdict(is_kept: bool) -> &'static str {
    if is_kept { "kept" } else { "**missed**" }
}

/// Whether a figure is within a bar that is told in words, as `≤ 2` or `< 30`. `None` for other words.
pub(crate) fn is_within(figure: f64, bar: &str) -> Option<bool> {
    let (relation, most) = bar.split_once(' ')?;
    let most: f64 = most.parse().ok()?;
    match relation {
        "<" => Some(figure < most),
        "≤" => Some(figure <= most),
        _ => None,
    }
}

/// The goals of a cell, as far as what they compare was measured.
pub(crate) fn of(cell: &Cell, medians: impl Fn(Arm) -> Option<Medians>) -> Vec<Goal> {
    let Some(own) = medians(Arm::own(cell)) else { return Vec::new() };
    let per_core = |how: &str, arm: Medians, least: f64| {
        let what = format!("thousands of records/s on one core's worth of the worker's CPU{how}");
        Goal::at_least(&what, 1e3 / arm.cpu, least)
    };
    match cell.task {
        Task::Wait => waiting(cell, own, &medians),
        // What a rival does there is told in words; the bar is the worker's own.
        Task::Http => {
            let socket = medians(Arm::PenstockSocket).map(|arm| per_core(", over a Unix socket", arm, 60.0));
            [per_core(", over TCP", own, 60.0)].into_iter().chain(socket).collect()
        }
        Task::HttpBatch => vec![per_core("", own, 250.0)],
    }
}

/// The rival with the most records a second.
pub(crate) fn fastest_rival(medians: impl Fn(Arm) -> Option<Medians>) -> Option<(Arm, Medians)> {
    rivals(medians).max_by(|(_, one), (_, other)| one.rate.total_cmp(&other.rate))
}

/// The rivals that were measured.
pub(crate) fn rivals(medians: impl Fn(Arm) -> Option<Medians>) -> impl Iterator<Item = (Arm, Medians)> {
    let rivals = Arm::ALL.into_iter().filter(|arm| arm.is_rival());
    rivals.filter_map(move |arm| Some((arm, medians(arm)?)))
}

fn waiting(cell: &Cell, own: Medians, medians: &impl Fn(Arm) -> Option<Medians>) -> Vec<Goal> {
    let mut goals = Vec::new();
    if let Some(raw) = medians(Arm::Raw) {
        goals.push(Goal::at_least("records/s by the raw loop's", own.rate / raw.rate, 0.9));
        goals.push(Goal::at_most("CPU a record by the raw loop's", own.cpu / raw.cpu, 1.3));
    }
    let of_ceiling = cell.ceiling().map(|ceiling| own.rate / ceiling);
    // At 1 ms the ceiling is a million calls a second.
    if let Some(share) = of_ceiling.filter(|_| cell.work.as_millis() >= 10) {
        goals.push(Goal::at_least("records/s by the ceiling", share, 0.9));
    }
    if let Some((_, best)) = fastest_rival(medians) {
        let mut faster = Goal::at_least("records/s by the fastest rival's", own.rate / best.rate, 2.0);
        faster.what.push_str(", or of the ceiling ≥ 0.95");
        faster.is_kept |= of_ceiling.is_some_and(|share| share >= 0.95);
        goals.push(faster);
        goals.push(Goal::at_most("CPU a record by the same rival's", own.cpu / best.cpu, 0.2));
    }
    goals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &str) -> Cell {
        Cell::all().into_iter().find(|cell| cell.name == name).unwrap()
    }

    fn kept(name: &str, medians: impl Fn(Arm) -> Option<(f64, f64)>) -> Vec<bool> {
        let medians = |arm| medians(arm).map(|(rate, cpu)| Medians { rate, cpu });
        of(&cell(name), medians).iter().map(|goal| goal.is_kept).collect()
    }

    #[test]
    fn without_work_the_raw_loop_and_the_fastest_rival_count() {
        let beside = |rate, cpu| {
            kept("noop", |arm| match arm {
                Arm::Raw => Some((100.0, 1.0)),
                Arm::SpringBatch => Some((60.0, 4.0)),
                Arm::SpringRecord => Some((50.0, 100.0)),
                Arm::Penstock => Some((rate, cpu)),
                _ => None,
            })
        };
        assert_eq!(beside(120.0, 0.8), [true; 4]);
        assert_eq!(beside(89.0, 1.4), [false; 4]);
    }

    #[test]
    fn near_the_ceiling_nobody_need_be_twice_as_slow() {
        let beside = |rate| {
            kept("10ms", |arm| match arm {
                Arm::Parallel100 => Some((90_000.0, 10.0)),
                Arm::Penstock => Some((rate, 2.0)),
                _ => None,
            })
        };
        assert_eq!(beside(95_000.0), [true; 3]);
        assert_eq!(beside(94_000.0), [true, false, true]);
    }

    #[test]
    fn a_server_counts_by_the_worker_s_cpu() {
        assert_eq!(kept("http", |_| Some((50_000.0, 16.0))), [true; 2]);
        let socket = |arm| if arm == Arm::PenstockSocket { 16.0 } else { 17.0 };
        assert_eq!(kept("http", |arm| Some((70_000.0, socket(arm)))), [false, true]);
        assert_eq!(kept("http-batch", |_| Some((1.0, 4.0))), [true]);
        let rivals_alone = |arm: Arm| arm.is_rival().then_some((1.0, 1.0));
        assert_eq!(kept("http", rivals_alone), [] as [bool; 0]);
    }

    #[test]
    fn bars_in_words() {
        assert_eq!((is_within(2.0, "≤ 2"), is_within(30.0, "< 30")), (Some(true), Some(false)));
        assert_eq!(is_within(2.0, "none"), None);
    }
}
