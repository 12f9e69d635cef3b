//! How many replicas a pipeline needs: observations in, a [`Decision`] out.
//!
//! Pure: time is an argument, and there is no I/O, no randomness and no runtime anywhere below. [`decide`] is the only door.

mod decide;
mod decision;
mod explain;
mod observation;
mod policy;
mod state;
mod time;

pub use decide::decide;
pub use decision::{Capacity, CapacitySource, Decision, HotPartition, Limit, Parts, Reason, StuckPartition};
pub use observation::{Checkpoint, GroupState, Kafka, Observation, PartitionSample, StuckRecord, Workers};
pub use policy::{Assignor, Mode, Ordering, Policy};
pub use state::{Learned, State};
pub use time::Timestamp;
