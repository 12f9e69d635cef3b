//! Flights in, arrival delays out: what the processors of the demo do, as a handler compiled into the worker.

use std::process::ExitCode;
use std::time::Duration;

use penstock_worker::Program;
use penstock_worker::handler::{Answer, BatchHandler, Context, Done, Failed, Handler, Json, Output, Record};
use serde::{Deserialize, Serialize};

/// A record's value. Fields that are not named here are ignored.
#[derive(Debug, Deserialize)]
struct Flight {
    carrier: String,
    flight: u32,
    /// Minutes; absent for a flight that was cancelled.
    arr_delay: Option<f64>,
}

/// What is answered.
#[derive(Debug, PartialEq, Serialize)]
struct Delay {
    flight: String,
    minutes: f64,
}

struct Delays;

impl Handler for Delays {
    type Value = Json<Flight>;

    async fn handle(&self, record: Record<Json<Flight>>, context: Context) -> Answer {
        if context.attempt() > 1 {
            let (id, left) = (record.id(), context.remaining().as_secs());
            eprintln!("{id} again, within {left} s: it is written by its id, so nothing happens twice");
        }
        answer(&record.value.0)
    }
}

/// The same for pipelines with `delivery.batch`: an answer for each record, in their order. Whoever has no batches leaves this out.
impl BatchHandler for Delays {
    type Value = Json<Flight>;

    async fn handle(&self, records: Vec<Record<Json<Flight>>>, context: Context) -> Result<Vec<Answer>, Failed> {
        let mut answers = Vec::with_capacity(records.len());
        for record in &records {
            if context.is_cancelled() || context.remaining() < Duration::from_millis(100) {
                break; // those without an answer come again, and nobody is charged for it
            }
            answers.push(answer(&record.value.0));
        }
        Ok(answers)
    }
}

fn answer(flight: &Flight) -> Answer {
    let delay = delay(flight)?;
    // An error by `?` is tried again, after a pause that grows.
    Ok(Done::Output(vec![Output::value(serde_json::to_vec(&delay)?).header("content-type", "application/json")]))
}

/// What can be tested without Kafka.
fn delay(flight: &Flight) -> Result<Delay, Failed> {
    // Trying again would not help: to the dead-letter topic with it.
    let minutes = flight.arr_delay.ok_or_else(|| Failed::reject("the flight never arrived"))?;
    Ok(Delay { flight: format!("{}{}", flight.carrier, flight.flight), minutes })
}

fn main() -> ExitCode {
    // One of the two is enough for a handler of your own.
    if std::env::var_os("IN_BATCHES").is_some() {
        Program::batches(Delays).main()
    } else {
        Program::each(Delays).main()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(arr_delay: Option<f64>) -> Flight {
        Flight { carrier: "UA".to_owned(), flight: 1545, arr_delay }
    }

    #[test]
    fn a_flight_that_arrived_has_a_delay() {
        assert_eq!(delay(&flight(Some(11.0))), Ok(Delay { flight: "UA1545".to_owned(), minutes: 11.0 }));
    }

    #[test]
    fn one_that_did_not_is_rejected() {
        assert_eq!(delay(&flight(None)), Err(Failed::reject("the flight never arrived")));
    }
}
