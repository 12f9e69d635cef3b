//! A pipeline as Kubernetes objects.

use penstock_crds::Pipeline;

use crate::{ObjectSet, Prepared, Release, Settled};

/// Version of this renderer. It moves when the same pipeline renders to another pod template.
pub const RENDERER: &str = "1";

/// All objects of a pipeline. The same arguments give the same bytes.
pub fn render(pipeline: &Pipeline, settled: &Settled, release: &Release) -> ObjectSet<Prepared> {
    let _ = (pipeline, settled, release);
    todo!()
}

/// Hash of the pod template: what was learned about capacity belongs to it. Scaling fields and replicas never move it.
pub fn template_hash(pipeline: &Pipeline, settled: &Settled, release: &Release) -> String {
    let _ = (pipeline, settled, release);
    todo!()
}
