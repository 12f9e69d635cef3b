//! What users live through, told with a fake clock.

mod burst;
mod limits;
mod modes;
mod steady;
mod trouble;
mod zero;
