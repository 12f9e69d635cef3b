//! `spec.delivery.batch`: how many records one call holds.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// Several records in one call. A call takes what is ready; it does not wait while no other call is in progress.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// Records in a call. With batch set, 1 too, records always travel in the body, in the form that
    /// docs/processor-contract.md calls a batch.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_records: i32,
    /// Bytes of records (key, value, headers, and 128 for each record) at which a call takes no further one, 1024 to 16777216;
    /// 1048576 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_024, max = 16_777_216))]
    pub max_bytes: Option<i32>,
    /// How long a call waits for more records while others are in progress, at most 1m; 0s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
    /// True lets a call hold several records of one key or partition, in their order: the processor must then do them in that
    /// order and stop at the first that fails. False (the default) puts at most one of each in a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_lane: Option<bool>,
}
