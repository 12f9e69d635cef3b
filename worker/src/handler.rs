//! Handlers that are compiled in: what a user of this library implements, and what a handler sees and says.
//!
//! ```no_run
//! use penstock_worker::handler::{Answer, Context, Done, Handler, Json, Record};
//!
//! #[derive(serde::Deserialize)]
//! struct Order { id: u64 }
//!
//! struct Orders;
//!
//! impl Handler for Orders {
//!     type Value = Json<Order>;
//!
//!     async fn handle(&self, record: Record<Json<Order>>, _: Context) -> Answer {
//!         let Json(order) = record.value;
//!         std::fs::write(format!("orders/{}", order.id), "paid")?; // an error by `?` is tried again
//!         Ok(Done::Ack)
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     penstock_worker::Program::each(Orders).main()
//! }
//! ```

pub(crate) mod answer;
mod context;
mod record;

use std::future::Future;

pub use self::answer::{Answer, Done, Failed, Output};
pub use self::context::Context;
pub use self::record::{Decode, Json, Raw, Record, Undecodable};

/// Is given one record at a time, many times at once: `delivery.concurrency` calls are in progress.
///
/// The future is dropped at its next `await` when `delivery.timeout` has passed or the partition goes to another worker. A
/// panic counts as a failed attempt of its record and of no other.
pub trait Handler: Send + Sync + 'static {
    /// What a record's value is decoded to. A record that cannot be decoded is rejected: it goes to the dead-letter topic.
    type Value: Decode;

    /// Handles one record. It may be called again for the same record, with the same [`Raw::id`].
    fn handle(&self, record: Record<Self::Value>, context: Context) -> impl Future<Output = Answer> + Send;

    /// Whether records may come. Asked, and asked again, before the first one: the place to connect to what is needed.
    fn ready(&self) -> impl Future<Output = Result<(), Failed>> + Send {
        async { Ok(()) }
    }
}

/// Is given several records at a time, as `spec.delivery.batch` has it.
///
/// ```no_run
/// use std::fs::File;
/// use std::io::Write as _;
/// use std::time::Duration;
///
/// use penstock_worker::handler::{Answer, BatchHandler, Context, Done, Failed, Record};
///
/// struct Archive;
///
/// impl BatchHandler for Archive {
///     type Value = String;
///
///     async fn handle(&self, records: Vec<Record<String>>, context: Context) -> Result<Vec<Answer>, Failed> {
///         let mut archive = File::options().append(true).open("archive")?; // an error by `?` is the whole batch's
///         let mut answers = Vec::with_capacity(records.len());
///         for record in records {
///             if context.remaining() < Duration::from_secs(1) {
///                 break; // those behind come again
///             }
///             answers.push(writeln!(archive, "{}", record.value).map(|()| Done::Ack).map_err(Failed::retry));
///         }
///         Ok(answers)
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     penstock_worker::Program::batches(Archive).main()
/// }
/// ```
pub trait BatchHandler: Send + Sync + 'static {
    /// As [`Handler::Value`]. Records that cannot be decoded are rejected and left out of the batch.
    type Value: Decode;

    /// Handles a batch: an answer for each record, in their order. Records beyond the last answer are tried again in smaller
    /// batches, as are all of them when the whole fails.
    ///
    /// # Errors
    /// The batch failed as a whole: nobody knows which record is to blame.
    fn handle(
        &self,
        records: Vec<Record<Self::Value>>,
        context: Context,
    ) -> impl Future<Output = Result<Vec<Answer>, Failed>> + Send;

    /// As [`Handler::ready`].
    fn ready(&self) -> impl Future<Output = Result<(), Failed>> + Send {
        async { Ok(()) }
    }
}

/// Is given one record at a time, on a thread that may block.
///
/// Nobody can stop it: past its deadline it holds its key and its place until it returns. A handler that takes long looks at
/// [`Context::is_cancelled`].
pub trait BlockingHandler: Send + Sync + 'static {
    /// As [`Handler::Value`].
    type Value: Decode;

    /// Handles one record.
    fn handle(&self, record: Record<Self::Value>, context: Context) -> Answer;

    /// As [`Handler::ready`].
    ///
    /// # Errors
    /// Why no records may come yet.
    fn ready(&self) -> Result<(), Failed> {
        Ok(())
    }
}

/// Is given one record at a time and answers at once, for work of microseconds in memory: to count, to filter, to look something up.
///
/// It is called on the thread that reads, one record after the other, and while all goes well nothing has to be kept of a record: several
/// times as many a second as through the future of a [`Handler`]. What fails is tried again like any other, and holds its key alone.
/// That thread runs the worker's own tasks: nothing may be awaited there, and tokio's `block_on` panics.
///
/// ```no_run
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// use penstock_worker::handler::{Answer, Done, QuickHandler, Record};
///
/// #[derive(Default)]
/// struct Tombstones(AtomicU64);
///
/// impl QuickHandler for Tombstones {
///     type Value = ();
///
///     fn handle(&self, record: Record<()>) -> Answer {
///         if record.bytes().is_some() {
///             return Ok(Done::Skip);
///         }
///         self.0.fetch_add(1, Relaxed);
///         Ok(Done::Ack)
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     penstock_worker::Program::quick(Tombstones::default()).main()
/// }
/// ```
pub trait QuickHandler: Send + Sync + 'static {
    /// As [`Handler::Value`].
    type Value: Decode;

    /// Handles one record. Nobody can stop it, and while it runs this worker does nothing else.
    fn handle(&self, record: Record<Self::Value>) -> Answer;

    /// As [`Handler::ready`].
    fn ready(&self) -> impl Future<Output = Result<(), Failed>> + Send {
        async { Ok(()) }
    }
}
