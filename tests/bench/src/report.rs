//! Runs to a page: a table for each cell, medians with their range, and a picture of it.

use std::fmt::Write as _;

use crate::alone::Figure;
use crate::arm::Arm;
use crate::cell::Cell;
use crate::goals::{self, Goal, Medians};
use crate::measure::Run;
use crate::plot::{Bar, bars};

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

/// What a reader must know of the figures.
const METHOD: &str = "\
# Benchmarks

Made by `make bench BENCH=\"--out docs/benchmarks\"` (without `BENCH` it goes to `target/bench`), which measures everything again: every arm
against the same real Kafka 4.2 broker, on the same machine, in the same run, each run in a fresh process with a group of its own, the arms
taking turns. Broker and consumer share the machine, so a consumer that needs less CPU also leaves more to the broker. A topic has 8
partitions, 1,000 keys and values of 100 bytes; the flights are the data set of the demo, thirty times.

Time runs until everything is *committed* (the raw loop commits nothing: until it is read). Clock and CPU begin when the arm says so. Those
over librdkafka say it before they make their client (Penstock once its pipeline is written to a file, before the worker's program is
loaded), so joining the group counts; those in Java say it at their first record, so that the start of a JVM is not held against them. CPU is
that of the consumer's whole process. \"Of the ceiling\" is 1,000 keys divided by the time a record takes, or, where it takes none, the raw
loop's median. Penstock runs with `onExhausted: Discard`: nothing fails but the sick keys of its own figures, and those are to cost others as
little as they can. The raw loop is `BaseConsumer::poll` of rust-rdkafka over the same librdkafka, with the allocator that Penstock has. Where
there is no work everybody has an empty handler, called for each record, or by Spring's listener for batches for each batch; Penstock's is a
`QuickHandler`, called on the thread that reads as the rivals' are, and beside it an asynchronous one, each call of which is a task of its
own. Where a record waits, Penstock's handler awaits a timer, as one does in asynchronous Rust; Spring's and Parallel Consumer's blocks its thread, as one
does in theirs.

Spring Kafka and Parallel Consumer run at the settings that served them best here. In the cells with a server they call it as Penstock does,
over kept-alive connections of HTTP/1.1, with `java.net.http.HttpClient`, and the thread that has the records waits for the answer: of Spring's
listeners that for records has the cell with one record a call, that for batches the one with batches; Parallel Consumer has both. A batch is
at most 500 records for everybody (Parallel Consumer's `batchSize`; Spring's listener sends what it has polled in pieces of that size). The
rivals send values and nothing else, a batch as one after another, each behind its length, and are answered 204 for the whole call. Penstock
sends what [its contract](processor-contract.md) says: a head that names the record, or a CloudEvent for each; and a batch's answer has a
verdict on each record. Any answer to a rival but 204 ends the benchmark. Over a Unix socket Penstock alone calls it: Java's `HttpClient`
knows none. Nor have rivals a part in what Penstock is measured alone by.

An arm that is slow is measured over 12 s instead of over all records, and over 30 s in the cell without work, since a JVM gets faster for
some seconds there. Where a record waits, Spring's eight consumers get their partitions only within the first half of that (KIP-848 moves
them with heartbeats), so a service that has run for longer does up to twice as much: 8 divided by the time a record takes.

Two bars no consumer over librdkafka can keep. A fifth of Spring's CPU a record, without work or in batches to a server, is less than a bare
librdkafka loop takes to read one. So is what twice Spring's batches would leave to the worker on two cores: what is not the worker's in that
cell (the broker, the server, the kernel for them) takes 1.5 µs a record of the 1.8 that there would be.
";

/// The page: cells and figures as Markdown; the picture of a cell is looked for as `<folder>/<cell>.svg`.
pub(crate) fn page(machine: &str, cells: &[Cell], runs: &[Run], figures: &[Figure], folder: &str) -> String {
    let mut text = format!("{METHOD}\n{machine}\n\n");
    text.push_str(&tables(cells, runs, folder));
    if !figures.is_empty() {
        text.push_str("### Penstock alone\n\n| what | bar | median (least to most) | |\n|---|---|---|---|\n");
    }
    for Figure { name, bar, values } in figures {
        let Some(Spread { median, least, most }) = spread(values.clone()) else { continue };
        let verdict = goals::is_within(median, bar).map_or("", goals::verdict);
        let _ = writeln!(text, "| {name} | {bar} | {median:.2} ({least:.2} to {most:.2}) | {verdict} |");
    }
    text
}

/// What it was measured on, as far as the machine tells.
pub(crate) fn machine() -> String {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim()).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = field(&file("/proc/cpuinfo"), "model name");
    let memory = field(&file("/proc/meminfo"), "MemTotal");
    let kernel = file("/proc/sys/kernel/osrelease");
    format!("Machine: {cores} cores of {model}, {memory} of memory, Linux {}.", kernel.trim())
}

fn tables(cells: &[Cell], runs: &[Run], folder: &str) -> String {
    let mut text = String::new();
    for cell in cells {
        let ceiling =
            cell.ceiling().map_or(String::new(), |ceiling| format!(", ceiling by key order {}", short(ceiling)));
        let _ = writeln!(text, "### {}: {} records{ceiling}\n", cell.title(), cell.records);
        text.push_str("| arm | records/s, median (least to most) | of the ceiling | CPU µs/record | records/s per core of its CPU | peak MiB |\n|---|---|---|---|---|---|\n");
        let raw = figure(runs, cell, Arm::Raw, |run| run.rate).map(|spread| spread.median);
        for arm in Arm::ALL {
            let Some(rate) = figure(runs, cell, arm, |run| run.rate) else { continue };
            let share = cell.ceiling().or(raw).map_or(String::new(), |most| format!("{:.2}", rate.median / most));
            let cpu = figure(runs, cell, arm, |run| run.cpu_micros).map_or(0.0, |spread| spread.median);
            let rss = figure(runs, cell, arm, |run| run.rss_mib).map_or(0.0, |spread| spread.most);
            let _ = writeln!(
                text,
                "| {} | {} ({} to {}) | {share} | {cpu:.2} | {} | {rss:.0} |",
                arm.name(),
                short(rate.median),
                short(rate.least),
                short(rate.most),
                short(1e6 / cpu)
            );
        }
        text.push_str(&in_words(cell, runs));
        let goals = goals::of(cell, |arm| medians(runs, cell, arm));
        if !goals.is_empty() {
            text.push_str("\n| bar | measured | |\n|---|---|---|\n");
            text.extend(goals.iter().map(Goal::row));
        }
        let _ = writeln!(text, "\n![{0}]({folder}/{0}.svg)\n", cell.name);
    }
    text
}

/// Penstock's own arm beside the fastest of the rivals, and beside the one that needs the least CPU; who wins is named.
fn in_words(cell: &Cell, runs: &[Run]) -> String {
    let of = |arm: Arm| medians(runs, cell, arm);
    let fastest = goals::fastest_rival(of);
    let leanest = goals::rivals(of).min_by(|(_, one), (_, other)| one.cpu.total_cmp(&other.cpu));
    let own = of(Arm::own(cell));
    let Some(((Medians { rate, cpu }, fastest), leanest)) = own.zip(fastest).zip(leanest) else {
        return String::new();
    };
    let mut text = format!(
        "\n{} does {:.1} times the records of the fastest rival ({}), with {:.2} times its CPU a record.",
        Arm::own(cell).name(),
        rate / fastest.1.rate,
        fastest.0.name(),
        cpu / fastest.1.cpu
    );
    if fastest.1.rate > rate {
        let _ = write!(text, " **{} wins.**", fastest.0.name());
    }
    if leanest.1.cpu < cpu {
        let _ = write!(text, " **{} wins on CPU: {:.2} µs against {cpu:.2}.**", leanest.0.name(), leanest.1.cpu);
    }
    text.push('\n');
    text
}

fn medians(runs: &[Run], cell: &Cell, arm: Arm) -> Option<Medians> {
    let rate = figure(runs, cell, arm, |run| run.rate)?.median;
    Some(Medians { rate, cpu: figure(runs, cell, arm, |run| run.cpu_micros)?.median })
}

/// A cell's medians as bars, and its ceiling as a line.
pub(crate) fn picture(cell: &Cell, runs: &[Run]) -> String {
    let each = Arm::ALL.into_iter().filter_map(|arm| {
        let rate = figure(runs, cell, arm, |run| run.rate)?;
        Some(Bar { label: arm.name().to_owned(), value: rate.median, range: (rate.least, rate.most) })
    });
    bars(&format!("{}: records/s", cell.title()), &each.collect::<Vec<_>>(), cell.ceiling())
}

fn figure(runs: &[Run], cell: &Cell, arm: Arm, figure: impl Fn(&Run) -> f64) -> Option<Spread> {
    spread(runs.iter().filter(|run| run.cell == cell.name && run.arm == arm.name()).map(figure).collect())
}

/// `1.23 M`, `45.6 k`, `789`.
pub(crate) fn short(rate: f64) -> String {
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

    fn run(cell: &'static str, arm: Arm, rate: f64, cpu_micros: f64) -> Run {
        let (arm, records) = (arm.name().into(), 1_000);
        Run { cell: cell.into(), arm, records, seconds: 1_000.0 / rate, rate, cpu_micros, rss_mib: 100.0 }
    }

    #[test]
    fn rivals_stand_beside_penstock_in_every_cell() {
        for cell in Cell::all() {
            let own = Arm::own(&cell);
            let mut runs = vec![run(cell.name, own, 50_000.0, 10.0)];
            assert_eq!(in_words(&cell, &runs), "", "{}: beside nobody", cell.name);
            runs.push(run(cell.name, Arm::Parallel100, 20_000.0, 40.0));
            runs.push(run(cell.name, Arm::Parallel1000, 10_000.0, 5.0));
            let expected = format!(
                "\n{} does 2.5 times the records of the fastest rival ({}), with 0.25 times its CPU a record. **{} wins on CPU: 5.00 µs against 10.00.**\n",
                own.name(),
                Arm::Parallel100.name(),
                Arm::Parallel1000.name()
            );
            assert_eq!(in_words(&cell, &runs), expected);
        }
    }

    #[test]
    fn figures_read_well() {
        assert_eq!([short(1_234_000.0), short(45_600.0), short(789.0)], ["1.23 M", "45.6 k", "789"]);
    }
}
