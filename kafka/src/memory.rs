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

/// What a consumer reads, as far as its memory is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Partitions that it may own at most.
    pub partitions: u32,
    /// Brokers that it fetches from.
    pub brokers: u32,
    /// The largest record that its topics take, bytes: `max.message.bytes`.
    pub record_bytes: u64,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// `max.message.bytes` of a topic that says nothing (Kafka's default).
pub const RECORD_BYTES: u64 = 1_048_588;
/// Below this a fetch is mostly overhead. A record that is larger still comes: brokers send at least one batch (KIP-74).
const LEAST_FETCH: u64 = 64 * KIB;
const LEAST_PARTITION_FETCH: u64 = 4 * KIB;
/// Above these more brings no more throughput; they are Kafka's own defaults.
const MOST_FETCH: u64 = 50 * MIB;
const MOST_PARTITION_FETCH: u64 = MIB;
/// `queued.max.messages.kbytes` as librdkafka has it by default.
const MOST_QUEUED: u64 = 64 * MIB;

/// Shares half of `budget` (bytes) among the partitions and brokers of a load; the other half is the caller's, for records in its
/// own hands.
///
/// A quarter of that half is for responses on the wire, one from each broker. The rest belongs to the partitions: each
/// buffers up to its queue's limit, goes above it by one fetch (librdkafka looks before it fetches, #5140), and keeps the
/// fetch that is being read until its last record is taken. A fetch is as large as it may be, or as the largest record, on topics
/// that were made to take larger ones than Kafka's default. Floors apply where the budget is too small to share; see
/// [`FetchBuffers::worst_case`].
pub fn fetch_buffers(budget: u64, load: &Load) -> FetchBuffers {
    let half = budget / 2;
    let brokers = u64::from(load.brokers.max(1));
    let fetch_max_bytes = (half / 4 / brokers).clamp(LEAST_FETCH, MOST_FETCH);
    let wire = fetch_max_bytes.saturating_mul(brokers);
    let each = half.saturating_sub(wire) / u64::from(load.partitions.max(1));
    let max_partition_fetch_bytes = (each / 4).clamp(LEAST_PARTITION_FETCH, MOST_PARTITION_FETCH.min(fetch_max_bytes));
    let queued = each.saturating_sub(2 * load.fetch(max_partition_fetch_bytes)) / KIB * KIB;
    FetchBuffers {
        queued_bytes_per_partition: queued.clamp(KIB, MOST_QUEUED),
        max_partition_fetch_bytes,
        fetch_max_bytes,
    }
}

impl Load {
    /// By how much a single record may exceed what is left of a limit (where records suddenly are larger than those before, up to 16 of
    /// them may once, as far as they are buffered), bytes: 0 on topics with Kafka's default, whose records are
    /// small beside any limit.
    pub fn overdraft(&self) -> u64 {
        if self.record_bytes > RECORD_BYTES { self.record_bytes } else { 0 }
    }

    /// The most that one fetch brings for a partition.
    fn fetch(&self, limit: u64) -> u64 {
        limit.max(self.overdraft())
    }
}

impl FetchBuffers {
    /// What all of it can come to, in bytes, before compression: what a fetch unpacks to beyond its bytes on the wire comes on
    /// top, for one fetch of each partition at a time.
    pub fn worst_case(&self, load: &Load) -> u64 {
        let each = self.queued_bytes_per_partition + 2 * load.fetch(self.max_partition_fetch_bytes);
        let wire = self.fetch_max_bytes.saturating_mul(u64::from(load.brokers.max(1)));
        each.saturating_mul(u64::from(load.partitions.max(1))).saturating_add(wire)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn load(partitions: u32, brokers: u32) -> Load {
        Load { partitions, brokers, record_bytes: RECORD_BYTES }
    }

    #[test]
    fn a_usual_worker() {
        let buffers = fetch_buffers(128 * MIB, &load(24, 3));
        assert_eq!(buffers.max_partition_fetch_bytes / KIB, 512);
        assert_eq!(buffers.queued_bytes_per_partition / KIB, 1024);
        assert_eq!(buffers.fetch_max_bytes, 128 * MIB / 24);
    }

    #[test]
    fn plenty_of_memory_stops_at_what_helps() {
        let buffers = fetch_buffers(64 * 1024 * MIB, &load(1, 1));
        let most = FetchBuffers {
            queued_bytes_per_partition: MOST_QUEUED,
            max_partition_fetch_bytes: MIB,
            fetch_max_bytes: MOST_FETCH,
        };
        assert_eq!(buffers, most);
    }

    #[test]
    fn no_partitions_and_no_brokers_count_as_one() {
        assert_eq!(fetch_buffers(128 * MIB, &load(0, 0)), fetch_buffers(128 * MIB, &load(1, 1)));
    }

    #[test]
    fn large_records_take_the_place_of_many() {
        let large = Load { record_bytes: 8 * MIB, ..load(4, 1) };
        let buffers = fetch_buffers(256 * MIB, &large);
        assert_eq!(buffers.queued_bytes_per_partition, 8 * MIB, "24 MiB each, two records of which come unasked");
        assert!(buffers.worst_case(&large) <= 128 * MIB);
        let usual = fetch_buffers(256 * MIB, &load(4, 1));
        assert_eq!(buffers.max_partition_fetch_bytes, usual.max_partition_fetch_bytes);
    }

    proptest! {
        #[test]
        fn everything_fits_in_half(
            partitions in 1_u32..2000, brokers in 1_u32..100, spare in 0_u64..(8 * 1024 * MIB), large in 0_u64..(16 * MIB),
        ) {
            let load = Load { record_bytes: large, ..load(partitions, brokers) };
            let fetch = load.fetch(LEAST_PARTITION_FETCH);
            let least = 8 * (u64::from(partitions) * (fetch + LEAST_PARTITION_FETCH) + u64::from(brokers) * LEAST_FETCH);
            let budget = least + spare;
            let buffers = fetch_buffers(budget, &load);
            prop_assert!(buffers.worst_case(&load) <= budget / 2, "{buffers:?}");
            prop_assert!(buffers.max_partition_fetch_bytes <= buffers.fetch_max_bytes);
        }

        #[test]
        fn more_memory_never_buffers_less(partitions in 1_u32..2000, brokers in 1_u32..100, budget in 0_u64..(1024 * MIB)) {
            let load = load(partitions, brokers);
            let (less, more) = (fetch_buffers(budget, &load), fetch_buffers(budget + MIB, &load));
            prop_assert!(more.max_partition_fetch_bytes >= less.max_partition_fetch_bytes);
            prop_assert!(more.fetch_max_bytes >= less.fetch_max_bytes);
        }
    }
}
