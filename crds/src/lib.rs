//! The words both planes share: ConsumerPipeline, resolve(), names, labels, the checkpoint.
