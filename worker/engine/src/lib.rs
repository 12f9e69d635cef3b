//! The delivery engine: lanes, ledger, retries, drain. Events in, effects out, no I/O, no clock.
//!
//! [`Engine::on`] is told what happened and answers with what to do; [`seam`] is the vocabulary and the rules of that
//! conversation.

mod backoff;
mod calls;
mod chain;
mod circuit;
mod counters;
mod engine;
mod forwards;
mod fuse;
mod hash;
mod lanes;
mod ledger;
mod limiter;
mod parking;
mod partition;
pub mod policy;
mod room;
pub mod seam;
mod segments;
#[cfg(test)]
mod simulation;
mod solitude;
mod time;
mod timers;
mod troubles;
mod usage;
mod views;
mod wrong;

pub use counters::Counters;
pub use engine::Engine;
pub use policy::Policy;
pub use seam::{Effect, Event};
pub use time::Instant;
pub use views::{EngineView, PartitionView};
