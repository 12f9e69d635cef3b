//! The control plane: observe → resolve → decide → render → apply → report, for every `ConsumerPipeline`.
//!
//! Only `observe`, `apply` and `report` do I/O. One module patches objects ([`apply`]), one writes status ([`report`]), and everything
//! that decides lives in pure functions of this crate or in `penstock-scaling` and `penstock-blueprint`.

pub mod apply;
pub mod args;
pub mod clock;
pub mod context;
pub mod controller;
pub mod decide;
pub mod http;
pub mod leader;
pub mod memory;
pub mod metrics;
pub mod observe;
pub mod prepare;
pub mod reconcile;
pub mod report;
pub mod run;
pub mod sampling;
