//! The words that both planes share: the `ConsumerPipeline` resource, `resolve()`, names and labels, and the checkpoint.
//!
//! Pure: no client, no clock, no I/O. `resolve()` is the only place that knows defaults and limits; operator and worker call it.

pub mod checkpoint;
pub mod duration;
pub mod names;
pub mod pipeline;
pub mod resolve;
pub mod schema;
#[expect(unreachable_pub, reason = "kube-derive repeats each type inside an anonymous const, where the lint finds it")]
pub mod spec;
#[expect(unreachable_pub, reason = "kube-derive repeats each type inside an anonymous const, where the lint finds it")]
pub mod status;

pub use self::duration::Duration;
pub use self::pipeline::Pipeline;
pub use self::resolve::{Violation, resolve};
pub use self::spec::{ConsumerPipeline, ConsumerPipelineSpec};
pub use self::status::ConsumerPipelineStatus;
