//! librdkafka's C API behind owned, safe types: the only `unsafe` in the project.

pub(crate) mod error;
pub(crate) mod headers;
