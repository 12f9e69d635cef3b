//! Reads back what a pipeline made of flights.

use rdkafka::message::{BorrowedMessage, Message as _, Timestamp};
use serde::Deserialize;

use crate::failure::{Context as _, Failure, Result};
use crate::flight::Flight;
use crate::topic::{Brokers, header};
use crate::verdict::{Found, Seen};

/// Everything in output and dead letters.
#[derive(Clone, Debug, Default)]
pub struct ReadBack {
    /// All records, in order within each partition.
    pub seen: Vec<Seen>,
    /// Dead letters whose key or value is not that of the flight (S9).
    pub changed: usize,
}

/// Flight and delay have it alike.
#[derive(Deserialize)]
struct Numbered {
    id: u32,
}

/// Reads both topics to their ends.
///
/// # Errors
/// What the broker says, and records that say less than they must.
pub fn read_back(brokers: &Brokers, output: &str, dead_letters: &str, flights: &[Flight<'_>]) -> Result<ReadBack> {
    let mut read = ReadBack { seen: Vec::with_capacity(flights.len()), changed: 0 };
    brokers.read(output, |message| {
        read.seen.push(see(Found::Output, message)?);
        Ok(())
    })?;
    brokers.read(dead_letters, |message| {
        let one = see(Found::DeadLetter, message)?;
        let flight = usize::try_from(one.id).ok().and_then(|id| flights.get(id));
        read.changed += usize::from(!is_unchanged(message, flight));
        read.seen.push(one);
        Ok(())
    })?;
    Ok(read)
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

/// A dead letter keeps key and value to the byte.
fn is_unchanged(message: &BorrowedMessage<'_>, flight: Option<&Flight<'_>>) -> bool {
    flight.is_some_and(|flight| {
        message.key() == flight.tailnum.as_deref().map(str::as_bytes)
            && serde_json::to_vec(flight).is_ok_and(|value| message.payload() == Some(&value))
    })
}
