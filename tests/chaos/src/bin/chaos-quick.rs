//! A worker whose handler answers at once and tells a file of each call: the order of its lines is that of time, whoever writes.
//!
//! A line of the file that `TOLD` names: partition, offset, key, attempt and answer. Values say what the answer is: `retry` fails once, `reject` always, all else is acknowledged. After `ENOUGH` calls no other returns.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use penstock_worker::Program;
use penstock_worker::handler::{Answer, Done, Failed, QuickHandler, Record};

struct Tells {
    to: File,
    left: AtomicU64,
}

impl QuickHandler for Tells {
    type Value = String;

    fn handle(&self, record: Record<String>) -> Answer {
        if self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
            loop {
                std::thread::park();
            }
        }
        let answer = match (record.value.as_str(), record.attempt()) {
            ("retry", 1) => Err(Failed::retry("as told")),
            ("reject", _) => Err(Failed::reject("as told")),
            _ => Ok(Done::Ack),
        };
        let said = if answer.is_ok() { "ack" } else { record.value.as_str() };
        let key = String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
        let (partition, offset, attempt) = (record.partition(), record.offset(), record.attempt());
        // One write: lines of several processes do not mix.
        let line = format!("{partition} {offset} {key} {attempt} {said}\n");
        (&self.to).write_all(line.as_bytes())?;
        answer
    }
}

fn main() -> ExitCode {
    let told = std::env::var("TOLD").map_err(std::io::Error::other);
    let enough = std::env::var("ENOUGH").ok().and_then(|text| text.parse().ok());
    let left = AtomicU64::new(enough.unwrap_or(u64::MAX));
    match told.and_then(|path| File::options().create(true).append(true).open(path)) {
        Ok(to) => Program::quick(Tells { to, left }).main(),
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "TOLD must name a file to append to: {error}");
            ExitCode::FAILURE
        }
    }
}
