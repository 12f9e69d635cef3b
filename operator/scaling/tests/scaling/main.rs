//! Stories with a fake clock, laws by proptest, and the small world that both run in.

mod laws;
mod laws_of_one_decision;
mod stories;
mod world;
