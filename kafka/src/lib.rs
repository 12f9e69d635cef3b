//! How a pipeline reaches its Kafka cluster: client configuration, a consumer and a producer for one thread that never
//! waits, and admin calls for tasks.
//!
//! Everything here stands on librdkafka's C API directly. The module `native` alone is `unsafe`; what it hands out is
//! owned and safe. The other modules give it the project's words:
//!
//! * [`settings`]: bootstrap servers, a Secret and tuning properties become a [`settings::Connection`], and that the
//!   [`settings::ClientConfig`] of each kind of client.
//! * [`consumer`]: the worker's consumer. One thread owns it, calls never wait, everything else is an event.
//! * [`producer`]: dead letters, outputs and delay records; delivery reports are events of the same thread.
//! * [`admin`]: what the operator asks and changes; `async`, each call with its own deadline.
//! * [`wake`]: how that one thread sleeps until any of this, or anybody else, has work for it.
//! * [`memory`]: how much librdkafka may buffer, as a pure function of the byte budget.

pub mod admin;
pub mod consumer;
pub mod error;
pub mod memory;
mod native;
mod place;
pub mod producer;
pub mod record;
pub mod settings;
pub mod wake;

pub use error::{ErrorCode, KafkaError};
pub use record::TopicPartition;
