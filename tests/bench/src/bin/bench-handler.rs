//! A worker whose handler waits WORK_MICROS microseconds for each record, as one does that asks a service.
//!
//! With `WATCH=places:N` it says after N records how long a place in `delivery.concurrency` stayed empty between two calls. With
//! `WATCH=healthy:N` it says, once N records of healthy keys are done, how long they took; `SICK=1` makes the keys below 10 fail
//! always and those below 60 three times a record. With `HANDLER=quick` or `HANDLER=async` it does nothing. With `PUT_OUT=batches` or `PUT_OUT=each` it does nothing but
//! answer each record with an output.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_io::Timer;
use penstock_worker::Program;
use penstock_worker::handler::{
    Answer, BatchHandler, Context, Done, Failed, Handler, Output, QuickHandler, Raw, Record,
};

/// Keys below this always fail: one in a hundred of the topic's thousand.
const POISON: u64 = 10;
/// Keys from there to this fail three times a record: five in a hundred.
const SICK: u64 = 60;
const FAILURES: u32 = 3;
/// Calls while the worker fills its window.
const BEGINNING: usize = 100_000;

struct Waits {
    work: Duration,
    sick: bool,
    watch: Watch,
}

enum Watch {
    Nothing,
    Places(Mutex<Places>),
    Healthy(Mutex<Healthy>),
}

/// Since when places are empty, and how long they were. While the worker begins and fills its window they do not count.
struct Places {
    begun: usize,
    empty_since: VecDeque<Instant>,
    empty: Vec<u64>,
    enough: usize,
}

/// How old records of healthy keys were when they were done.
struct Healthy {
    began: Option<Instant>,
    ages: Vec<u64>,
    enough: usize,
}

impl Handler for Waits {
    type Value = ();

    async fn handle(&self, record: Record<()>, context: Context) -> Answer {
        if let Watch::Places(places) = &self.watch {
            places.lock().unwrap_or_else(PoisonError::into_inner).taken(Instant::now());
        }
        Timer::after(self.work).await;
        match &self.watch {
            Watch::Nothing => {}
            Watch::Places(places) => {
                places.lock().unwrap_or_else(PoisonError::into_inner).empty_since.push_back(Instant::now());
            }
            Watch::Healthy(healthy) => {
                let key = key(&record);
                if self.sick && (key < POISON || (key < SICK && context.attempt() <= FAILURES)) {
                    return Err(Failed::retry("as told"));
                }
                if key >= SICK {
                    healthy.lock().unwrap_or_else(PoisonError::into_inner).done(age(&record));
                }
            }
        }
        Ok(Done::Ack)
    }
}

/// Has nothing to do.
struct Idle;

impl QuickHandler for Idle {
    type Value = ();

    fn handle(&self, _: Record<()>) -> Answer {
        Ok(Done::Ack)
    }
}

impl Handler for Idle {
    type Value = ();

    async fn handle(&self, _: Record<()>, _: Context) -> Answer {
        Ok(Done::Ack)
    }
}

/// Answers each record with its own value.
struct Echo;

impl Echo {
    fn of(record: &Record<()>) -> Done {
        Done::Output(vec![Output::value(record.bytes().unwrap_or_default()).key(record.key())])
    }
}

impl Handler for Echo {
    type Value = ();

    async fn handle(&self, record: Record<()>, _: Context) -> Answer {
        Ok(Self::of(&record))
    }
}

impl BatchHandler for Echo {
    type Value = ();

    async fn handle(&self, records: Vec<Record<()>>, _: Context) -> Result<Vec<Answer>, Failed> {
        Ok(records.iter().map(|record| Ok(Self::of(record))).collect())
    }
}

fn key(record: &Raw) -> u64 {
    let bytes = record.key().and_then(|key| <[u8; 8]>::try_from(key).ok());
    bytes.map_or(u64::MAX, u64::from_be_bytes)
}

/// Microseconds since the record was made, by the clock of the machine that also produces.
fn age(record: &Raw) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let made = u64::try_from(record.timestamp_millis().unwrap_or_default()).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX).saturating_sub(made * 1000)
}

impl Places {
    fn taken(&mut self, now: Instant) {
        let Some(since) = self.empty_since.pop_front() else { return };
        self.begun += 1;
        if self.begun <= BEGINNING {
            return;
        }
        self.empty.push(u64::try_from((now - since).as_micros()).unwrap_or(u64::MAX));
        if self.empty.len() == self.enough {
            say(&format!("places {}", percentiles(&mut self.empty)));
        }
    }
}

impl Healthy {
    fn done(&mut self, age: u64) {
        let began = *self.began.get_or_insert_with(Instant::now);
        self.ages.push(age);
        if self.ages.len() == self.enough {
            let drained = began.elapsed().as_millis();
            say(&format!("healthy {} drained {drained}", percentiles(&mut self.ages)));
        }
    }
}

/// Median, 99 % and the most, microseconds.
fn percentiles(figures: &mut [u64]) -> String {
    figures.sort_unstable();
    let at = |share: usize| figures[(figures.len() - 1) * share / 100];
    format!("p50 {} p99 {} max {}", at(50), at(99), at(100))
}

#[expect(clippy::print_stdout, reason = "the harness reads this line")]
fn say(line: &str) {
    println!("{line}");
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn main() -> ExitCode {
    match variable("PUT_OUT").as_deref() {
        Some("batches") => return Program::batches(Echo).main(),
        Some(_) => return Program::each(Echo).main(),
        None => {}
    }
    match variable("HANDLER").as_deref() {
        Some("quick") => return Program::quick(Idle).main(),
        Some(_) => return Program::each(Idle).main(),
        None => {}
    }
    let work = variable("WORK_MICROS").and_then(|text| text.parse().ok());
    let watch = variable("WATCH").unwrap_or_default();
    let (what, enough) = watch.split_once(':').unwrap_or_default();
    let enough = enough.parse().unwrap_or(usize::MAX);
    let watch = match what {
        "places" => {
            Watch::Places(Mutex::new(Places { begun: 0, empty_since: VecDeque::new(), empty: Vec::new(), enough }))
        }
        "healthy" => Watch::Healthy(Mutex::new(Healthy { began: None, ages: Vec::new(), enough })),
        _ => Watch::Nothing,
    };
    let work = Duration::from_micros(work.unwrap_or_default());
    Program::each(Waits { work, sick: variable("SICK").is_some(), watch }).main()
}
