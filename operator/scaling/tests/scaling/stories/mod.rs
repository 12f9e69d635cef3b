//! What users live through, told with a fake clock.

mod burst;
mod kafka;
mod limits;
mod modes;
mod steady;
mod trouble;
mod zero;
