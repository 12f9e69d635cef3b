//! End-to-end proof on the lab: the demo, and what the tests in `tests/` are written with.

pub mod cluster;
pub mod dataset;
pub mod demo;
pub mod failure;
pub mod flight;
pub mod images;
pub mod pipeline;
pub mod read;
pub mod run;
pub mod service;
pub mod topic;
pub mod verdict;
pub mod wait;
