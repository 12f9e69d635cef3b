//! librdkafka's C API behind owned, safe types: the only `unsafe` in the project.
//!
//! Who may outlive whom, which is what the types below enforce: a client lives until its last queue is gone (a queue holds
//! the client), an event lives shorter than the queue it came from (a borrow), and what is read from an event is copied.

pub(crate) mod admin;
pub(crate) mod brokers;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod group;
pub(crate) mod headers;
pub(crate) mod overheard;
pub(crate) mod partitions;
pub(crate) mod produce;
pub(crate) mod queue;
