//! What a group member can do, one C call each.
#![expect(unsafe_code, reason = "calls librdkafka's consumer functions")]

use std::ffi::CString;
use std::ptr::{null_mut, without_provenance_mut};
use std::time::Duration;

use rdkafka_sys::bindings as sys;

use super::client::{Client, Text, c_string, millis};
use super::error;
use super::event::Event;
use super::partitions::{self, PartitionList};
use super::queue::Queue;
use crate::consumer::Committed;
use crate::error::{ErrorCode, KafkaError};

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

    /// Moves the position without waiting for it.
    pub(crate) fn seek(&self, partitions: &PartitionList) -> Result<(), KafkaError> {
        // SAFETY: a valid client and list; without a timeout nothing refers to the list afterwards.
        unsafe { error::take(sys::rd_kafka_seek_partitions(self.ptr(), partitions.ptr(), 0)) }?;
        let failed = partitions.iter().filter_map(|entry| entry.result().err());
        failed.filter(|code| *code != IN_PROGRESS).map(KafkaError::of).next().map_or(Ok(()), Err)
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

    /// Starts to leave the group; events go to `queue` from now on.
    pub(crate) fn close(&self, queue: &Queue) -> Result<(), KafkaError> {
        // SAFETY: a valid client and queue; the error returned is ours.
        unsafe { error::take(sys::rd_kafka_consumer_close_queue(self.ptr(), queue.ptr())) }
    }

    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: a valid client.
        unsafe { sys::rd_kafka_consumer_closed(self.ptr()) != 0 }
    }

    /// Asks for a group's committed offsets; the reply arrives on `replies` with `opaque`.
    pub(crate) fn fetch_committed(
        &self,
        request: &OffsetFetch<'_>,
        replies: &Queue,
        opaque: u64,
    ) -> Result<(), KafkaError> {
        let options = AdminOptions::new(
            self,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
            request.timeout,
            opaque,
        )?;
        let group = c_string(request.group)?;
        let partitions = request.partitions.map_or(null_mut(), PartitionList::ptr);
        // SAFETY: valid options of this very client; the request copies group and list and is destroyed after it was sent.
        unsafe {
            let stable = i32::from(request.require_stable);
            error::take(sys::rd_kafka_AdminOptions_set_require_stable_offsets(options.ptr(), stable))?;
            let mut call = sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), partitions);
            sys::rd_kafka_ListConsumerGroupOffsets(self.ptr(), &raw mut call, 1, options.ptr(), replies.ptr());
            sys::rd_kafka_ListConsumerGroupOffsets_destroy(call);
        }
        Ok(())
    }
}

/// librdkafka's "under way", which a seek that does not wait reports for each partition.
const IN_PROGRESS: ErrorCode = ErrorCode(-178);

/// A question for committed offsets.
pub(crate) struct OffsetFetch<'a> {
    pub(crate) group: &'a str,
    /// `None` for all that the group has.
    pub(crate) partitions: Option<&'a PartitionList>,
    pub(crate) require_stable: bool,
    pub(crate) timeout: Duration,
}

/// One partition of the answer.
pub(crate) type CommittedPart = (String, i32, Result<Option<Committed>, ErrorCode>);

/// The answer to [`Client::fetch_committed`].
pub(crate) fn committed(event: &Event<'_>) -> Result<Vec<CommittedPart>, KafkaError> {
    if let Some(error) = event.error() {
        return Err(error);
    }
    let mut count = 0;
    // SAFETY: a valid event; of another kind the result is null. What is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        if count == 0 || groups.is_null() {
            return Ok(Vec::new());
        }
        error::borrowed(sys::rd_kafka_group_result_error(*groups))?;
        Ok(partitions::entries(sys::rd_kafka_group_result_partitions(*groups))
            .map(|entry| committed_part(&entry))
            .collect())
    }
}

fn committed_part(entry: &partitions::Entry<'_>) -> CommittedPart {
    let committed = entry.result().map(|()| {
        entry.offset().map(|offset| Committed {
            offset,
            leader_epoch: entry.leader_epoch(),
            metadata: entry.metadata().to_vec(),
        })
    });
    (entry.topic().to_owned(), entry.partition(), committed)
}

/// Options of an admin call.
pub(crate) struct AdminOptions(*mut sys::rd_kafka_AdminOptions_t);

impl AdminOptions {
    /// Options with a timeout for everything (finding brokers, sending, the broker's own work) and a number for the reply.
    pub(crate) fn new(
        client: &Client,
        operation: sys::rd_kafka_admin_op_t,
        timeout: Duration,
        opaque: u64,
    ) -> Result<Self, KafkaError> {
        // SAFETY: a valid client and an operation that librdkafka lists.
        let options = Self(unsafe { sys::rd_kafka_AdminOptions_new(client.ptr(), operation) });
        let mut text = Text::new();
        let (buffer, size) = text.buffer();
        // SAFETY: valid options and a buffer of the size given; the opaque is a number and never followed.
        let code = unsafe {
            let opaque = without_provenance_mut(usize::try_from(opaque).unwrap_or(usize::MAX));
            sys::rd_kafka_AdminOptions_set_opaque(options.0, opaque);
            sys::rd_kafka_AdminOptions_set_request_timeout(options.0, millis(timeout), buffer, size)
        };
        error::error(code, text.take(), false).map_or(Ok(options), Err)
    }

    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_AdminOptions_t {
        self.0
    }
}

impl Drop for AdminOptions {
    fn drop(&mut self) {
        // SAFETY: ours; calls copy their options.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0) };
    }
}
