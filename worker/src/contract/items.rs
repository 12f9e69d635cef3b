//! The body of an answer that speaks of records one by one: `{"items": [{"item": 0, "verdict": "ack"}, …]}`.
//!
//! Nothing is guessed. A record that no item names is a suspect, unless `others` speaks for it. An item that cannot be read makes
//! its record one. An answer that names a record twice, or one that was not sent, is believed in nothing: the processor counts
//! differently than we do.

use std::time::Duration;

use penstock_engine::seam::{Delivery, ErrorClass, Failure, Outcome, Output};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::Event;
use super::retry_after::WAIT_MAX;
use super::verdict::readable;

/// The whole body; `T` is an item, or the text of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<T> {
    items: Vec<T>,
    others: Option<Word>,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Ack,
    Skip,
    Retry,
    Reject,
    Overload,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Item<'a> {
    /// The record's place in the request, from 0.
    #[serde(rename = "item")]
    number: u32,
    verdict: Word,
    reason: Option<String>,
    /// Seconds.
    retry_after: Option<u64>,
    #[serde(borrow)]
    output: Option<Vec<Event<'a>>>,
}

/// Of an item that cannot be read as a whole, whose it is.
#[derive(Debug, Deserialize)]
struct Numbered {
    item: u32,
}

/// What the body says of each record, in the order of the records.
pub fn outcomes(body: &[u8], deliveries: &[Delivery], has_output: bool) -> Vec<Outcome> {
    read(body, deliveries, has_output).unwrap_or_else(|detail| {
        let failure = Failure::new(ErrorClass::BadResponse, &detail);
        deliveries.iter().map(|_| suspect(failure.clone(), deliveries.len())).collect()
    })
}

/// What cannot be laid at one record's door unless it was alone.
pub(crate) fn suspect(failure: Box<Failure>, records: usize) -> Outcome {
    if records == 1 { Outcome::Retry(failure) } else { Outcome::BatchFailed(failure) }
}

fn read(body: &[u8], deliveries: &[Delivery], has_output: bool) -> Result<Vec<Outcome>, String> {
    let count = deliveries.len();
    let (items, others) = parse(body)?;
    let mut outcomes: Vec<Option<Outcome>> = deliveries.iter().map(|_| None).collect();
    for (number, item) in items {
        let Some((delivery, place)) = deliveries.get(number as usize).zip(outcomes.get_mut(number as usize)) else {
            return Err(format!("the answer has item {number}, but the records are 0 to {}", count.saturating_sub(1)));
        };
        let outcome = item.and_then(|item| item.outcome(delivery, has_output)).unwrap_or_else(|detail| {
            let detail = format!("item {number} of the answer: {detail}");
            suspect(Failure::new(ErrorClass::BadResponse, &detail), count)
        });
        if place.replace(outcome).is_some() {
            return Err(format!("the answer has item {number} twice"));
        }
    }
    let left_out = || match others {
        Some(word) => word.outcome(None, None),
        None => suspect(Failure::new(ErrorClass::Missing, "the answer leaves this record out"), count),
    };
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(left_out)).collect())
}

/// An item's number, and what else it says, or why that cannot be read.
type Parsed<'a> = (u32, Result<Item<'a>, String>);

/// The items, and what is said of all others. Items are read one by one only where some cannot be read.
fn parse(body: &[u8]) -> Result<(Vec<Parsed<'_>>, Option<Word>), String> {
    if let Ok(Body { items, others }) = serde_json::from_slice::<Body<Item<'_>>>(body) {
        return Ok((items.into_iter().map(|item| (item.number, Ok(item))).collect(), others));
    }
    let Body { items, others } = serde_json::from_slice::<Body<&RawValue>>(body)
        .map_err(|error| format!("the answer is no list of items: {error}"))?;
    let one_by_one = items.into_iter().map(|text| {
        let Numbered { item } = serde_json::from_str(text.get())
            .map_err(|error| format!("an item of the answer has no number: {error}"))?;
        Ok((item, serde_json::from_str(text.get()).map_err(|error| error.to_string())))
    });
    Ok((one_by_one.collect::<Result<_, String>>()?, others))
}

impl Item<'_> {
    fn outcome(self, delivery: &Delivery, has_output: bool) -> Result<Outcome, String> {
        let wait = self.retry_after.map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX));
        let records = match (self.verdict, self.output) {
            (Word::Ack, Some(events)) if has_output => {
                events.into_iter().map(|event| event.into_record(&delivery.record)).collect::<Result<Vec<_>, _>>()?
            }
            _ => Vec::new(),
        };
        Ok(if records.is_empty() {
            self.verdict.outcome(self.reason.as_deref(), wait)
        } else {
            Outcome::AckWith(Box::new(Output { records }))
        })
    }
}

impl Word {
    fn outcome(self, reason: Option<&str>, wait: Option<Duration>) -> Outcome {
        let failure = |class, word: &str| {
            let failure = Failure::new(class, &reason.map_or_else(|| format!("the answer says {word}"), readable));
            match wait {
                Some(wait) => failure.after(wait),
                None => failure,
            }
        };
        match self {
            Self::Ack => Outcome::Ack,
            Self::Skip => Outcome::Skip,
            Self::Retry => Outcome::Retry(failure(ErrorClass::Retry, "retry")),
            Self::Reject => Outcome::Reject(failure(ErrorClass::Rejected, "reject")),
            Self::Overload => Outcome::Overload(failure(ErrorClass::Overload, "overload")),
        }
    }
}

#[cfg(test)]
mod tests;
