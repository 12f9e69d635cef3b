//! A worker whose handler waits WORK_MICROS microseconds for each record, as one does that asks a service.

use std::process::ExitCode;
use std::time::Duration;

use async_io::Timer;
use penstock_worker::Program;
use penstock_worker::handler::{Answer, Context, Done, Handler, Record};

struct Waits(Duration);

impl Handler for Waits {
    type Value = ();

    async fn handle(&self, _: Record<()>, _: Context) -> Answer {
        Timer::after(self.0).await;
        Ok(Done::Ack)
    }
}

fn main() -> ExitCode {
    let micros = std::env::var("WORK_MICROS").ok().and_then(|text| text.parse().ok());
    Program::each(Waits(Duration::from_micros(micros.unwrap_or_default()))).main()
}
