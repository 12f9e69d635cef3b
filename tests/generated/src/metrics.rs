//! The tables of the reference of metrics: what the registries know of their families, and what their labels may say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prometheus::core::Desc;
use prometheus::proto::MetricType;

/// A family of series as its registry knows it.
pub type Family = (Desc, MetricType);

/// Labels that say what they are called.
const NAMES: [&str; 4] = ["namespace", "partition", "pipeline", "topic"];

/// What the other labels may say, by family; nothing where that is no closed set, and told by the page.
const VALUES: &[(&str, &str, &[&str])] = &[
    ("penstock_operator_api_writes_total", "kind", &[]),
    ("penstock_operator_api_writes_total", "result", &["ok", "error"]),
    ("penstock_operator_api_writes_total", "verb", &["apply", "create", "delete", "status"]),
    ("penstock_operator_events_total", "reason", &[]),
    (
        "penstock_operator_reconciles_total",
        "outcome",
        &["ok", "ApplyFailed", "Conflict", "NameConflict", "ReportFailed", "Unreadable"],
    ),
    (
        "penstock_worker_calls_total",
        "outcome",
        &["ack", "skip", "retry", "reject", "overload", "unavailable", "batch_failed", "connection_lost", "cancelled"],
    ),
    ("penstock_worker_clients_rebuilt_total", "client", &["consumer", "producer"]),
    ("penstock_worker_commits_total", "result", &["ok", "retriable", "unknown", "metadata_too_large", "not_owner"]),
    ("penstock_worker_forwards_total", "result", &["ok", "failed", "refused"]),
    ("penstock_worker_forwards_total", "to", &["output", "dead_letter", "delay"]),
    ("penstock_worker_kafka_errors_total", "error", &[]),
    ("penstock_worker_partition_on_hold", "why", &["DataLoss", "ForwardFailed", "OutputFailed", "ParkedKeysFull"]),
    ("penstock_worker_rebalances_total", "kind", &["assign", "revoke", "lost"]),
    (
        "penstock_worker_records_done_total",
        "how",
        &["acknowledged", "skipped", "output", "dead_lettered", "discarded", "delayed"],
    ),
    (
        "penstock_worker_records_passed_over_total",
        "why",
        &["done_before", "received_again", "redriven_again", "assignment_over"],
    ),
    ("penstock_worker_spans_total", "result", &["exported", "dropped"]),
    ("penstock_worker_stall_recoveries_total", "by", &["look", "reassign", "rebuild", "rejoin"]),
];

/// The families as a Markdown table, by name.
pub fn metrics(families: &[Family]) -> String {
    let by_name: BTreeMap<&str, &Family> = families.iter().map(|family| (family.0.fq_name.as_str(), family)).collect();
    let mut table = String::from("| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for (name, (desc, type_)) in by_name {
        let labels: Vec<String> = desc.variable_labels.iter().map(|label| labelled(name, label)).collect();
        let (labels, help) = (labels.join("; "), desc.help.replace('|', "\\|"));
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{name}` | {} | {labels} | {help} |", word(*type_));
    }
    table
}

/// Labels of which nobody says what they may say, and those that are told of and are no more.
pub fn untold(families: &[Family]) -> Vec<String> {
    let of = |(desc, _): &Family| {
        let label = |label: &String| (desc.fq_name.clone(), label.clone());
        desc.variable_labels.iter().map(label).collect::<Vec<_>>()
    };
    let labels: BTreeSet<(String, String)> = families.iter().flat_map(of).collect();
    let told = VALUES.iter().map(|(family, label, _)| ((*family).to_owned(), (*label).to_owned()));
    let gone = told.filter(|one| !labels.contains(one));
    let missing = labels.iter().filter(|(family, label)| values_of(family, label).is_none()).cloned();
    missing.chain(gone).map(|(family, label)| format!("{family}{{{label}}}")).collect()
}

/// All that labels may say, to be looked for in the code.
pub fn label_values() -> impl Iterator<Item = &'static str> {
    VALUES.iter().flat_map(|(_, _, values)| values.iter().copied())
}

fn values_of(family: &str, label: &str) -> Option<&'static [&'static str]> {
    if NAMES.contains(&label) {
        return Some(&[]);
    }
    VALUES.iter().find(|(of, name, _)| *of == family && *name == label).map(|(_, _, values)| *values)
}

/// A label, and what it may say.
fn labelled(family: &str, label: &str) -> String {
    let values: Vec<String> =
        values_of(family, label).into_iter().flatten().map(|value| format!("`{value}`")).collect();
    if values.is_empty() { format!("`{label}`") } else { format!("`{label}`: {}", values.join(", ")) }
}

fn word(type_: MetricType) -> &'static str {
    match type_ {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn family(name: &str, labels: &[&str], type_: MetricType) -> Family {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        (Desc::new(name.to_owned(), "a|b".to_owned(), labels, HashMap::new()).unwrap(), type_)
    }

    #[test]
    fn a_row_tells_what_the_registry_and_the_code_know() {
        let spans = family("penstock_worker_spans_total", &["result", "topic"], MetricType::COUNTER);
        let table = metrics(&[spans, family("age_seconds", &[], MetricType::GAUGE)]);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        let expected = [
            "| `age_seconds` | gauge |  | a\\|b |",
            "| `penstock_worker_spans_total` | counter | `result`: `exported`, `dropped`; `topic` | a\\|b |",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_label_that_nobody_tells_of_is_named_and_so_is_one_that_is_no_more() {
        let untold = untold(&[family("penstock_worker_spans_total", &["topic", "how"], MetricType::COUNTER)]);
        assert_eq!(untold[0], "penstock_worker_spans_total{how}");
        assert!(untold.contains(&"penstock_worker_spans_total{result}".to_owned()), "{untold:?}");
        assert_eq!(untold.len(), 1 + VALUES.len());
    }
}
