//! Chaos: real worker processes of one group on real brokers, a processor that answers as badly as it can, faults at times drawn
//! from a seed, and a checker that reads everything afterwards.
//!
//! * [`plan`]: what a round does, a pure function of its seed.
//! * [`history`]: what was seen of a round, as plain data.
//! * [`check`]: the invariants S1–S12 and L1–L5 (design.md §7) over a history. Pure, so that tests can show that it fails.
//! * [`offsets`]: the wire format of `__consumer_offsets`.
//! * [`processor`]: the recording processor; [`fleet`]: the workers; [`cluster`]: the brokers and what lies in their topics.
//! * [`round`]: a plan carried out, and [`report`] what is said about it.

pub mod behaviour;
pub mod check;
pub mod cluster;
pub mod error;
pub mod fleet;
pub mod history;
pub mod offsets;
pub mod plan;
pub mod processor;
pub mod produce;
pub mod report;
pub mod rng;
pub mod round;
