//! The table of docs/reliability.md, made of the lines of docs/reliability.jsonl: `chaos report` writes it, and a test says when it is
//! out of date.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// What stands before the table and behind it.
const BEGIN: &str = "<!-- Made by `chaos report`: do not edit. -->\n";
const END: &str = "<!-- End of what `chaos report` made. -->\n";

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Evidence that is none.
    #[error("line {0} is no JSON of a round: {1}")]
    Line(usize, String),
    /// A page that has no place for the table.
    #[error("the page has no lines {0:?} and {1:?} between which the table could stand", BEGIN, END)]
    NoPlace,
}

/// The page with the table of those rounds in the place of the one that it has.
///
/// # Errors
/// A line that is no round, or a page without a place for the table.
pub fn rewritten(page: &str, rounds: &str) -> Result<String, PageError> {
    let (before, rest) = page.split_once(BEGIN).ok_or(PageError::NoPlace)?;
    let (_, after) = rest.split_once(END).ok_or(PageError::NoPlace)?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", Sums::of(rounds)?.table()))
}

/// What the rounds come to.
#[derive(Debug, Default)]
struct Sums {
    judged: u64,
    broken: u64,
    three_brokers: u64,
    /// By what a plan's line says.
    kinds: BTreeMap<&'static str, u64>,
    themes: BTreeMap<String, u64>,
    counts: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    answers: BTreeMap<String, u64>,
    violations: BTreeMap<String, u64>,
    revisions: BTreeMap<String, u64>,
    largest: u64,
    seconds: u64,
}

/// What is counted by a word of the plan.
const KINDS: [&str; 7] =
    [", classic", ", transactions", ", compacted", ", batches of", "with lanes", ", output", ", large"];

impl Sums {
    fn of(rounds: &str) -> Result<Self, PageError> {
        let mut sums = Self::default();
        for (number, line) in (1..).zip(rounds.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let round: Value =
                serde_json::from_str(line).map_err(|error| PageError::Line(number, error.to_string()))?;
            sums.add(&round).ok_or_else(|| PageError::Line(number, "a member is missing".to_owned()))?;
        }
        Ok(sums)
    }

    fn add(&mut self, round: &Value) -> Option<()> {
        if round.get("not_carried_out").is_some() {
            self.broken += 1;
            return Some(());
        }
        let plan = round.get("plan")?.as_str()?;
        self.judged += 1;
        self.three_brokers += u64::from(round.get("brokers")?.as_u64()? > 1);
        for kind in KINDS {
            *self.kinds.entry(kind).or_default() += u64::from(plan.contains(kind));
        }
        // "4+2 partitions": several topics.
        let several = plan.split(", ").any(|part| part.ends_with(" partitions") && part.contains('+'));
        *self.kinds.entry("topics").or_default() += u64::from(several);
        *self.themes.entry(round.get("theme")?.as_str()?.to_owned()).or_default() += 1;
        let revision = round.get("revision").and_then(Value::as_str).unwrap_or("not noted");
        *self.revisions.entry(revision.to_owned()).or_default() += 1;
        for (what, sums) in [
            ("counts", &mut self.counts),
            ("faults", &mut self.faults),
            ("answers", &mut self.answers),
            ("violations", &mut self.violations),
        ] {
            for (name, count) in round.get(what)?.as_object()? {
                *sums.entry(name.clone()).or_default() += count.as_u64()?;
            }
        }
        if round.get("counts")?.get("requests").is_none() {
            // Before there were batches, each call was a request.
            *self.counts.entry("requests".to_owned()).or_default() += round.get("counts")?.get("calls")?.as_u64()?;
        }
        self.largest = self.largest.max(round.get("counts")?.get("records")?.as_u64()?);
        self.seconds += round.get("seconds")?.as_u64()?;
        Some(())
    }

    fn table(&self) -> String {
        let kind = |name: &str| self.kinds.get(name).copied().unwrap_or_default();
        let count = |name: &str| thousands(self.counts.get(name).copied().unwrap_or_default());
        let one_broker = self.judged - self.three_brokers;
        let violations: u64 = self.violations.values().sum();
        let mut rows = vec![
            (
                "rounds judged",
                format!(
                    "{}: {one_broker} on 1 broker, {} on 3 brokers; {} with the classic protocol, the others with KIP-848",
                    self.judged,
                    self.three_brokers,
                    kind(", classic")
                ),
            ),
            ("about", listed(&self.themes)),
            (
                "pipelines",
                format!(
                    "{} with batches, {} of them with several records of a lane in one; {} with several source topics; {} with output",
                    kind(", batches of"),
                    kind("with lanes"),
                    kind("topics"),
                    kind(", output")
                ),
            ),
            (
                "records",
                format!(
                    "{}, at most {} in a round; {} large rounds, {} with transactions, {} with holes from compaction",
                    count("records"),
                    thousands(self.largest),
                    kind(", large"),
                    kind(", transactions"),
                    kind(", compacted")
                ),
            ),
            (
                "calls of the processor",
                format!(
                    "{} in {} requests, of which {} were of records done before",
                    count("calls"),
                    count("requests"),
                    count("repeated")
                ),
            ),
            ("commits read from `__consumer_offsets`", format!("{}, each with its checkpoint", count("commits"))),
            ("dead letters, outputs", format!("{}, {}", count("letters"), count("outputs"))),
            ("workers started", count("workers")),
            ("partitions lost unasked", format!("{} times, {} without a cause", count("losses"), count("unexplained"))),
            ("the machine too slow for the limits, and excused", format!("{} times", count("slow"))),
            ("faults", listed(&self.faults)),
            ("what the processor did", listed(&self.answers)),
            ("time", format!("{:.1} hours of rounds", self.seconds as f64 / 3600.0)),
            ("revisions", listed(&self.revisions)),
        ];
        // The first rounds did not ask.
        if self.counts.contains_key("scraped") {
            let woken = format!("{} times, by the metrics of {} workers", count("woken_by_cap"), count("scraped"));
            rows.push(("sleeps that ended by their longest although there was work", woken));
        }
        let found = if violations == 0 { String::new() } else { format!(" ({})", listed(&self.violations)) };
        rows.push(("**violations**", format!("**{violations}**{found}")));
        rows.push(("rounds not carried out", self.broken.to_string()));
        let mut table = "\n| | |\n| --- | --- |\n".to_owned();
        for (name, value) in rows {
            let _ = writeln!(table, "| {name} | {value} |");
        }
        table.push('\n');
        table
    }
}

/// The most frequent first.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<_> = counts.iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let all: Vec<_> = all.into_iter().map(|(name, count)| format!("{name} ×{}", thousands(*count))).collect();
    all.join(", ")
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: &str = r#"{"brokers":3,"theme":"Kills","plan":"Kills, 3 broker(s), 4+2 partitions, 2 workers × 8, Key, Discard, batches of 50 with lanes, classic","counts":{"records":1234567,"calls":9},"faults":{"kill -9":2},"answers":{"acknowledged":9},"violations":{"S1":1},"seconds":3600,"seed":1}"#;

    #[test]
    fn rounds_are_summed_up() {
        let broken = r#"{"not_carried_out":"a reason","seed":2}"#;
        let table = Sums::of(&format!("{ROUND}\n{ROUND}\n{broken}\n")).unwrap().table();
        for row in [
            "| rounds judged | 2: 0 on 1 broker, 2 on 3 brokers; 2 with the classic protocol, the others with KIP-848 |",
            "| pipelines | 2 with batches, 2 of them with several records of a lane in one; 2 with several source topics; 0 with output |",
            "| records | 2,469,134, at most 1,234,567 in a round;",
            "| faults | kill -9 ×4 |",
            "| **violations** | **2** (S1 ×2) |",
            "| rounds not carried out | 1 |",
        ] {
            assert!(table.contains(row), "{row} in {table}");
        }
    }

    #[test]
    fn what_the_first_rounds_did_not_ask_is_told_of_the_others() {
        let asked = ROUND.replace(r#""calls":9}"#, r#""calls":9,"scraped":5,"woken_by_cap":2}"#);
        let table = |rounds: &str| Sums::of(rounds).unwrap().table();
        assert!(table(&format!("{ROUND}\n{asked}\n")).contains("| 2 times, by the metrics of 5 workers |"));
        assert!(!table(ROUND).contains("by the metrics"));
    }

    #[test]
    fn what_is_no_round_is_named() {
        assert!(matches!(Sums::of("{\"seed\": 1}"), Err(PageError::Line(1, _))));
        assert!(matches!(Sums::of(&format!("{ROUND}\n{{")), Err(PageError::Line(2, _))));
    }

    #[test]
    fn a_page_keeps_its_words() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let new = rewritten(&page, ROUND).unwrap();
        assert!(new.starts_with("before\n") && new.ends_with("after\n") && !new.contains("old"));
        assert_eq!(rewritten(&new, ROUND), Ok(new.clone()), "twice is once");
        assert_eq!(rewritten("a page", ROUND), Err(PageError::NoPlace));
    }

    #[test]
    fn the_published_page_is_of_the_published_rounds() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let page = std::fs::read_to_string(docs.join("reliability.md")).unwrap();
        let rounds = std::fs::read_to_string(docs.join("reliability.jsonl")).unwrap();
        assert!(rewritten(&page, &rounds).unwrap() == page, "run target/release/chaos report docs/reliability.jsonl");
    }
}
