//! Runs to a Markdown table: medians with their range, and who wins.

use std::fmt::Write as _;

use crate::arm::Arm;
use crate::cell::Cell;
use crate::measure::Run;

/// Median, least and most of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

fn spread(mut figures: Vec<f64>) -> Option<Spread> {
    figures.sort_by(f64::total_cmp);
    let (least, most) = (*figures.first()?, *figures.last()?);
    Some(Spread { median: *figures.get(figures.len() / 2)?, least, most })
}

/// All cells as Markdown.
pub(crate) fn markdown(cells: &[Cell], runs: &[Run]) -> String {
    let mut text = String::new();
    for cell in cells {
        let ceiling =
            cell.ceiling().map_or(String::new(), |ceiling| format!(", ceiling by key order {}", short(ceiling)));
        let _ = writeln!(text, "### {}: {} records{ceiling}\n", cell.name, cell.records);
        text.push_str("| arm | records/s, median (least to most) | of the ceiling | CPU µs/record | peak MiB |\n|---|---|---|---|---|\n");
        let raw = figure(runs, cell, Arm::Raw, |run| run.rate).map(|spread| spread.median);
        for arm in Arm::ALL {
            let Some(rate) = figure(runs, cell, arm, |run| run.rate) else { continue };
            let share = cell.ceiling().or(raw).map_or(String::new(), |most| format!("{:.2}", rate.median / most));
            let cpu = figure(runs, cell, arm, |run| run.cpu_micros).map_or(0.0, |spread| spread.median);
            let rss = figure(runs, cell, arm, |run| run.rss_mib).map_or(0.0, |spread| spread.most);
            let _ = writeln!(
                text,
                "| {} | {} ({} to {}) | {share} | {cpu:.2} | {rss:.0} |",
                arm.name(),
                short(rate.median),
                short(rate.least),
                short(rate.most)
            );
        }
        text.push('\n');
    }
    text
}

fn figure(runs: &[Run], cell: &Cell, arm: Arm, figure: impl Fn(&Run) -> f64) -> Option<Spread> {
    spread(runs.iter().filter(|run| run.cell == cell.name && run.arm == arm.name()).map(figure).collect())
}

/// `1.23 M`, `45.6 k`, `789`.
fn short(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_a_few() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(spread(vec![]), None);
    }

    #[test]
    fn figures_read_well() {
        assert_eq!([short(1_234_000.0), short(45_600.0), short(789.0)], ["1.23 M", "45.6 k", "789"]);
    }
}
