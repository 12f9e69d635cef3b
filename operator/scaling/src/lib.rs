//! How many replicas a pipeline needs: observations in, a [`Decision`] out.
//!
//! The set-point is not lag; it is capacity for the arrival rate plus the backlog over the catch-up time. [`decide`] is the only door:
//!
//! ```text
//! samples ──► track (rate, flow) ──► capacity ──► demand ──► steps ──► view ──► rules ──► Decision
//!             a partition's past     μ            D_p        need(D)   distress
//! ```
//!
//! Pure: time is an argument, and there is no I/O, no randomness and no runtime anywhere below. Everything remembered comes from
//! observations, so asking twice changes nothing. The formulas and where they come from: research/autoscalers.md C1 to C8 (DS2, the Flink
//! autoscaler, KEDA's threads).

mod bounds;
mod capacity;
mod decide;
mod decision;
mod demand;
mod explain;
mod flow;
mod observation;
mod policy;
mod rate;
mod rules;
mod state;
mod steps;
mod time;
mod track;
mod view;
mod window;

pub use decide::{LAG_UNKNOWN_AFTER, decide};
pub use decision::{Capacity, CapacitySource, Decision, HotPartition, Limit, Parts, Reason, StuckPartition};
pub use observation::{Checkpoint, GroupState, Kafka, Observation, PartitionSample, StuckRecord, Workers};
pub use policy::{Assignor, Mode, Ordering, Policy};
pub use state::{Learned, State};
pub use time::Timestamp;
