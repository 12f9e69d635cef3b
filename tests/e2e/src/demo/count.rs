//! Reads what came out, and counts.

use rdkafka::message::{BorrowedMessage, Message as _, Timestamp};
use serde::Deserialize;

use super::Report;
use super::burst::Run;
use crate::cluster::Cluster;
use crate::dataset::TAILNUMS;
use crate::failure::{Context as _, Failure, Result};
use crate::flight::Flight;
use crate::topic::header;
use crate::verdict::{Found, Seen, Sent, Verdict, judge};

/// Flight and delay have it alike.
#[derive(Deserialize)]
struct Numbered {
    id: u32,
}

pub(super) fn count(cluster: &Cluster, flights: &[Flight<'_>], run: &Run) -> Result<Report> {
    let mut seen = Vec::with_capacity(flights.len());
    let mut changed = 0;
    cluster.brokers().read(&run.stage.output, |message| {
        seen.push(see(Found::Output, message)?);
        Ok(())
    })?;
    cluster.brokers().read(&run.stage.dead_letters, |message| {
        let one = see(Found::DeadLetter, message)?;
        changed += usize::from(!is_unchanged(message, flights.get(one.id as usize)));
        seen.push(one);
        Ok(())
    })?;
    let sent: Vec<_> = flights
        .iter()
        .map(|flight| Sent { key: flight.tailnum.as_deref(), arrived: flight.arr_delay.is_some() })
        .collect();
    let mut verdict = judge(&sent, &seen);
    let bound = verdict.explain(&run.crash, &seen);
    let mut problems = std::mem::take(&mut verdict.problems);
    problems.extend(broken_promises(&verdict, run, changed));
    Ok(Report {
        line: line(flights.len(), &verdict, run),
        notes: format!("duplicates: at most {bound} were in flight at the kill"),
        problems,
    })
}

fn line(sent: usize, verdict: &Verdict, run: &Run) -> String {
    format!(
        "demo: {sent} in, {} out, {} dead letters, {} lost, {} duplicates, order kept for {} keys, peak {} replicas of {}",
        verdict.out,
        verdict.dead,
        verdict.lost,
        verdict.duplicates.len(),
        verdict.keys_in_order,
        run.peak,
        run.stage.partitions
    )
}

/// What the issue promises beside what [`judge`] looks at.
fn broken_promises(verdict: &Verdict, run: &Run, changed: usize) -> Vec<String> {
    let promises = [
        (verdict.lost == 0, format!("{} flights are lost", verdict.lost)),
        (verdict.keys_in_order == TAILNUMS, format!("order is kept for {} of {TAILNUMS} keys", verdict.keys_in_order)),
        (
            run.peak == run.stage.partitions,
            format!("{} workers were ready at once, of {}", run.peak, run.stage.partitions),
        ),
        (run.climb.is_some(), "the workers were not all ready within 60 s of the burst".to_owned()),
        (run.rest < run.peak, format!("{} workers were still there at the end", run.rest)),
        (changed == 0, format!("{changed} dead letters differ from the flights that they were")),
    ];
    promises.into_iter().filter(|(kept, _)| !kept).map(|(_, words)| words).collect()
}

fn see(found: Found, message: &BorrowedMessage<'_>) -> Result<Seen> {
    let place = (message.partition(), message.offset());
    let doing = || format!("record {place:?} of {}", message.topic());
    let Timestamp::LogAppendTime(appended) = message.timestamp() else {
        return Err(Failure::new(format!("{} was not appended by the broker's clock", doing())));
    };
    let number = |name: &str| {
        let text = header(message, name).ok_or_else(|| Failure::new(format!("{} has no header {name}", doing())))?;
        text.parse::<i64>().context(doing())
    };
    let numbered: Numbered = serde_json::from_slice(message.payload().unwrap_or_default()).context(doing())?;
    let partition = i32::try_from(number("penstock.origin.partition")?).context(doing())?;
    Ok(Seen { found, id: numbered.id, origin: (partition, number("penstock.origin.offset")?), place, appended })
}

/// A dead letter keeps key and value to the byte (S9).
fn is_unchanged(message: &BorrowedMessage<'_>, flight: Option<&Flight<'_>>) -> bool {
    flight.is_some_and(|flight| {
        message.key() == flight.tailnum.as_deref().map(str::as_bytes)
            && serde_json::to_vec(flight).is_ok_and(|value| message.payload() == Some(&value))
    })
}
