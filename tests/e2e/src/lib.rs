//! End-to-end proof on the lab: the demo, and the tests that run whole pipelines.
