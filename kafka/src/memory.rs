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

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Below this a fetch is mostly overhead. A record that is larger still comes: brokers send at least one batch (KIP-74).
const LEAST_FETCH: u64 = 64 * KIB;
const LEAST_PARTITION_FETCH: u64 = 4 * KIB;
/// Above these more brings no more throughput; they are Kafka's own defaults.
const MOST_FETCH: u64 = 50 * MIB;
const MOST_PARTITION_FETCH: u64 = MIB;
/// `queued.max.messages.kbytes` as librdkafka has it by default.
const MOST_QUEUED: u64 = 64 * MIB;

/// Shares half of `budget` (bytes) among the partitions this client may own at most and the brokers it fetches from; the
/// other half is the caller's, for records in its own hands.
///
/// A quarter of that half is for responses on the wire, one from each broker. The rest belongs to the partitions: each
/// buffers up to its queue's limit, goes above it by one fetch (librdkafka looks before it fetches, #5140), and keeps the
/// fetch that is being read until its last record is taken. Floors apply where the budget is too small to share; see
/// [`FetchBuffers::worst_case`].
pub fn fetch_buffers(budget: u64, partitions: u32, brokers: u32) -> FetchBuffers {
    let half = budget / 2;
    let brokers = u64::from(brokers.max(1));
    let fetch_max_bytes = (half / 4 / brokers).clamp(LEAST_FETCH, MOST_FETCH);
    let wire = fetch_max_bytes.saturating_mul(brokers);
    let each = half.saturating_sub(wire) / u64::from(partitions.max(1));
    let max_partition_fetch_bytes = (each / 4).clamp(LEAST_PARTITION_FETCH, MOST_PARTITION_FETCH.min(fetch_max_bytes));
    let queued = each.saturating_sub(2 * max_partition_fetch_bytes) / KIB * KIB;
    FetchBuffers {
        queued_bytes_per_partition: queued.clamp(KIB, MOST_QUEUED),
        max_partition_fetch_bytes,
        fetch_max_bytes,
    }
}

impl FetchBuffers {
    /// What all of it can come to, in bytes, before compression: a batch that unpacks to more than it was on the wire, and a
    /// record larger than the limits, come on top, one fetch for each partition at a time.
    pub fn worst_case(&self, partitions: u32, brokers: u32) -> u64 {
        let each = self.queued_bytes_per_partition + 2 * self.max_partition_fetch_bytes;
        let wire = self.fetch_max_bytes.saturating_mul(u64::from(brokers.max(1)));
        each.saturating_mul(u64::from(partitions.max(1))).saturating_add(wire)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_usual_worker() {
        let buffers = fetch_buffers(128 * MIB, 24, 3);
        assert_eq!(buffers.max_partition_fetch_bytes / KIB, 512);
        assert_eq!(buffers.queued_bytes_per_partition / KIB, 1024);
        assert_eq!(buffers.fetch_max_bytes, 128 * MIB / 24);
    }

    #[test]
    fn plenty_of_memory_stops_at_what_helps() {
        let buffers = fetch_buffers(64 * 1024 * MIB, 1, 1);
        let most = FetchBuffers {
            queued_bytes_per_partition: MOST_QUEUED,
            max_partition_fetch_bytes: MIB,
            fetch_max_bytes: MOST_FETCH,
        };
        assert_eq!(buffers, most);
    }

    #[test]
    fn no_partitions_and_no_brokers_count_as_one() {
        assert_eq!(fetch_buffers(128 * MIB, 0, 0), fetch_buffers(128 * MIB, 1, 1));
    }

    proptest! {
        #[test]
        fn everything_fits_in_half(partitions in 1_u32..2000, brokers in 1_u32..100, spare in 0_u64..(8 * 1024 * MIB)) {
            let least = 2 * (u64::from(partitions) * (3 * LEAST_PARTITION_FETCH) + 4 * u64::from(brokers) * LEAST_FETCH);
            let budget = least + spare;
            let buffers = fetch_buffers(budget, partitions, brokers);
            prop_assert!(buffers.worst_case(partitions, brokers) <= budget / 2, "{buffers:?}");
            prop_assert!(buffers.max_partition_fetch_bytes <= buffers.fetch_max_bytes);
        }

        #[test]
        fn more_memory_never_buffers_less(partitions in 1_u32..2000, brokers in 1_u32..100, budget in 0_u64..(1024 * MIB)) {
            let (less, more) = (fetch_buffers(budget, partitions, brokers), fetch_buffers(budget + MIB, partitions, brokers));
            prop_assert!(more.max_partition_fetch_bytes >= less.max_partition_fetch_bytes);
            prop_assert!(more.fetch_max_bytes >= less.fetch_max_bytes);
        }
    }
}
