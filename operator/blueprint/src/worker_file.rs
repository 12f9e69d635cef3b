//! The pipeline as a worker reads it.

use penstock_crds::Pipeline;

use crate::Settled;

/// The ConsumerPipeline that workers read, as YAML: every default filled in, without what a worker need not know.
pub fn worker_file(pipeline: &Pipeline, settled: &Settled) -> String {
    let _ = (pipeline, settled);
    todo!()
}
