//! The engine in a small world that is out to break it: two workers, two partitions, few records, and a scheduler that
//! picks what happens next at random. Everything follows from one seed.
//!
//! [`world`] makes things happen, [`truth`] is the naive model that knows what really happened to each record, and the
//! checks in it bear the names of design.md §7. `PENSTOCK_SEED=n` replays one schedule and prints it;
//! `PENSTOCK_SCHEDULES=n` runs more than the usual hundred thousand.

mod broker;
mod config;
mod consumer;
mod coverage;
mod delays;
mod fuse;
mod group;
mod idle;
mod letters;
mod limits;
mod processor;
mod producer;
mod properties;
pub(crate) mod rng;
mod seeded_bugs;
mod steps;
mod truth;
mod worker;
mod world;
