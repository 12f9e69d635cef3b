//! Whole pipelines on a real cluster and a real Kafka. One lab and one release serve all tests; each test has a namespace and topics
//! of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod broker;
mod chart;
mod crash;
mod hindered;
mod lifecycle;
mod memory;
mod quiet;
mod refused;
mod schema;
mod stage;
