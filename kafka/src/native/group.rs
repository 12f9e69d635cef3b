//! What a group member can do, one C call each.
#![expect(unsafe_code, reason = "calls librdkafka's consumer functions")]

use std::ffi::CString;
use std::ptr::{NonNull, null_mut, without_provenance_mut};
use std::time::Duration;

use rdkafka_sys::bindings as sys;

use super::client::{Client, millis};
use super::error;
use super::partitions::PartitionList;
use super::queue::Queue;
use crate::error::KafkaError;

fn done(code: error::Code) -> Result<(), KafkaError> {
    error::error(code, String::new(), false).map_or(Ok(()), Err)
}

impl Client {
    pub(crate) fn subscribe(&self, topics: &PartitionList) -> Result<(), KafkaError> {
        // SAFETY: a valid client and list; the list is copied.
        done(unsafe { sys::rd_kafka_subscribe(self.ptr(), topics.ptr()) })
    }

    pub(crate) fn incremental_assign(&self, partitions: &PartitionList) -> Result<(), KafkaError> {
        // SAFETY: a valid client and list; the list is copied, the error returned is ours.
        unsafe { error::take(sys::rd_kafka_incremental_assign(self.ptr(), partitions.ptr())) }
    }

    pub(crate) fn incremental_unassign(&self, partitions: &PartitionList) -> Result<(), KafkaError> {
        // SAFETY: a valid client and list; the list is copied, the error returned is ours.
        unsafe { error::take(sys::rd_kafka_incremental_unassign(self.ptr(), partitions.ptr())) }
    }

    /// Gives up everything: the only answer to a rebalance that is neither an assignment nor a revocation.
    pub(crate) fn unassign_all(&self) -> Result<(), KafkaError> {
        // SAFETY: a valid client; no list means none.
        done(unsafe { sys::rd_kafka_assign(self.ptr(), null_mut()) })
    }

    pub(crate) fn assignment_lost(&self) -> bool {
        // SAFETY: a valid client.
        unsafe { sys::rd_kafka_assignment_lost(self.ptr()) != 0 }
    }

    /// Fills the list with what the group committed; waits for it.
    pub(crate) fn committed(&self, partitions: &PartitionList, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: a valid client and list, which is filled in and not referred to afterwards.
        let code = unsafe { error::numbers::rd_kafka_committed(self.ptr(), partitions.ptr(), millis(timeout)) };
        error::error_of(code, String::new(), false).map_or(Ok(()), Err)
    }

    pub(crate) fn position(&self, topic: &CString, partition: i32) -> Option<i64> {
        let mut list = PartitionList::with_capacity(1);
        list.add(topic, partition);
        // SAFETY: a valid client and list, which is filled in.
        done(unsafe { sys::rd_kafka_position(self.ptr(), list.ptr()) }).ok()?;
        list.iter().next()?.offset()
    }

    /// The log's start and end as last heard; negative for "not heard".
    pub(crate) fn cached_watermarks(&self, topic: &CString, partition: i32) -> Option<(i64, i64)> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: a valid client, a C string and two out-pointers; nothing is asked of the broker.
        let code = unsafe {
            let (low, high) = (&raw mut low, &raw mut high);
            sys::rd_kafka_get_watermark_offsets(self.ptr(), topic.as_ptr(), partition, low, high)
        };
        done(code).ok()?;
        (high >= 0).then_some((low.max(0), high))
    }

    /// Sends a commit whose reply arrives on `replies` with `opaque`.
    pub(crate) fn commit(&self, offsets: &PartitionList, replies: &Queue, opaque: u64) -> Result<(), KafkaError> {
        let opaque = without_provenance_mut(usize::try_from(opaque).unwrap_or(usize::MAX));
        // SAFETY: a valid client, list (copied) and queue; without a callback the reply is an event, and the opaque a number.
        done(unsafe { sys::rd_kafka_commit_queue(self.ptr(), offsets.ptr(), replies.ptr(), None, opaque) })
    }

    /// Takes no part in the group any more.
    pub(crate) fn unsubscribe(&self) -> Result<(), KafkaError> {
        // SAFETY: a valid client.
        done(unsafe { sys::rd_kafka_unsubscribe(self.ptr()) })
    }

    /// Its id in the group. It is a member while it has one: it was given one, and has not said that it leaves.
    pub(crate) fn member_id(&self) -> Option<String> {
        // SAFETY: a valid client; the string returned, if any, is ours to free, and copied before.
        unsafe {
            let id = sys::rd_kafka_memberid(self.ptr());
            let named = error::text(id);
            sys::rd_kafka_mem_free(self.ptr(), id.cast());
            Some(named).filter(|id| !id.is_empty())
        }
    }

    /// The group's generation that it belongs to (classic), or its member epoch (KIP-848); none for no member.
    pub(crate) fn generation(&self) -> Option<i32> {
        // SAFETY: a valid client; the metadata returned, if any, is ours to destroy.
        unsafe {
            let metadata = NonNull::new(sys::rd_kafka_consumer_group_metadata(self.ptr()))?;
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata.as_ptr());
            sys::rd_kafka_consumer_group_metadata_destroy(metadata.as_ptr());
            Some(generation)
        }
    }

    /// Starts to leave the group; events go to `queue` from now on.
    pub(crate) fn close(&self, queue: &Queue) -> Result<(), KafkaError> {
        // SAFETY: a valid client and queue; the error returned is ours.
        unsafe { error::take(sys::rd_kafka_consumer_close_queue(self.ptr(), queue.ptr())) }
    }

    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: a valid client.
        unsafe { sys::rd_kafka_consumer_closed(self.ptr()) != 0 }
    }
}
