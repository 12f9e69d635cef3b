//! The data plane: one thread that owns the consumer and the engine, and the processors it calls.
//!
//! * [`config`]: the files a worker is given, as plain values.
//! * [`startup`]: what must be true before the first record is asked for.
//! * [`shell`]: the loop of that one thread: events to the engine, effects from it. Generic over
//!   * [`kafka`]: a consumer, a producer and questions about topics, librdkafka in earnest, and
//!   * [`processor`]: calls in progress, over HTTP ([`contract`]) or none (discard).
//! * [`forward`]: dead letters and outputs, byte for byte; [`delay`]: records that wait in a delay topic.
//! * `redrive`: a tool beside all this, which sends dead letters back.
//! * [`server`], [`metrics`]: what the outside may see.
//! * [`worker`]: all of it, from a pipeline file to an exit code.

pub mod cli;
pub mod config;
pub mod contract;
pub mod delay;
pub mod failure;
pub mod forward;
pub mod handler;
pub mod kafka;
mod logs;
pub mod metrics;
pub mod processor;
mod program;
mod redrive;
pub mod server;
pub mod shell;
pub mod startup;
pub mod worker;

pub use program::Program;
