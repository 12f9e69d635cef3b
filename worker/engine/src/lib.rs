//! The delivery engine: lanes, ledger, retries, drain. Events in, effects out, no I/O, no clock.
//!
//! [`Engine::on`] is told what happened and answers with what to do; [`seam`] is the vocabulary and the rules of that
//! conversation.

pub mod policy;
pub mod seam;
mod time;

mod engine;

pub use engine::Engine;
pub use policy::Policy;
pub use seam::{Effect, Event};
pub use time::Instant;
