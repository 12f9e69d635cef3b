//! How much librdkafka may buffer. Pure: a byte budget in, three properties out.

/// The three properties of a consumer that bound its memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchBuffers {
    /// `queued.max.messages.kbytes` × 1,024: what one partition may hold buffered (per partition, because queues are split).
    pub queued_bytes_per_partition: u64,
    /// `max.partition.fetch.bytes`: what one fetch may bring for one partition.
    pub max_partition_fetch_bytes: u64,
    /// `fetch.max.bytes`: what one fetch may bring in all.
    pub fetch_max_bytes: u64,
}

/// Shares half of `budget` among the partitions this client may own and the brokers it fetches from.
pub fn fetch_buffers(budget: u64, partitions: u32, brokers: u32) -> FetchBuffers {
    todo!()
}
