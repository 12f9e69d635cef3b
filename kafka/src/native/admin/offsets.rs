//! ListOffsets, ListConsumerGroupOffsets and AlterConsumerGroupOffsets.
#![expect(unsafe_code, reason = "calls librdkafka's admin functions and reads their answers")]

use std::ptr::null_mut;

use rdkafka_sys::bindings as sys;
use sys::rd_kafka_admin_op_t as op;

use super::Call;
use super::options::{Options, items};
use crate::consumer::Committed;
use crate::error::{ErrorCode, KafkaError};
use crate::native::client::c_string;
use crate::native::error;
use crate::native::event::Event;
use crate::native::partitions::{self, Entry, PartitionList};

/// A partition of an answer: topic, number, and what is said of it.
pub(crate) type Part<T> = (String, i32, Result<T, ErrorCode>);

/// What a leader says of an offset.
pub(crate) struct Listed {
    pub(crate) offset: Option<i64>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) leader_epoch: Option<i32>,
}

/// Asks for the offsets that the list's offsets stand for (−1 latest, −2 earliest, −3 of the highest timestamp, else the first
/// at or after that timestamp).
pub(crate) fn list_offsets(call: &Call<'_>, specs: &PartitionList, read_committed: bool) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_LISTOFFSETS)?;
    options.isolation(if read_committed {
        sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
    } else {
        sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
    })?;
    // SAFETY: valid client, list, options and queue; the list is copied.
    unsafe { sys::rd_kafka_ListOffsets(call.client.ptr(), specs.ptr(), options.ptr(), call.replies.ptr()) };
    Ok(())
}

pub(crate) fn listed(event: &Event<'_>) -> Result<Vec<Part<Listed>>, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; everything read is copied while the event lives.
    unsafe {
        let Some(result) = sys::rd_kafka_event_ListOffsets_result(event.ptr()).as_ref() else { return Ok(Vec::new()) };
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        Ok(items(infos.cast_const(), count).map(|info| part(info)).collect())
    }
}

/// # Safety
/// `info` belongs to an event that lives.
unsafe fn part(info: &sys::rd_kafka_ListOffsetsResultInfo_t) -> Part<Listed> {
    // SAFETY: the caller's promise.
    let (entry, timestamp) = unsafe {
        (
            Entry::at(sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info)),
            sys::rd_kafka_ListOffsetsResultInfo_timestamp(info),
        )
    };
    let listed = match entry.result() {
        Err(code) => Err(code),
        // The leader's part of the answer never came, and nobody filled this in.
        Ok(()) if entry.is_unset() => Err(ErrorCode::TIMED_OUT),
        Ok(()) => Ok(Listed {
            offset: entry.offset(),
            timestamp: (timestamp >= 0).then_some(timestamp),
            leader_epoch: entry.leader_epoch(),
        }),
    };
    (entry.topic().to_owned(), entry.partition(), listed)
}

/// Asks for what a group committed: for these partitions, or for all it has.
pub(crate) fn fetch_committed(
    call: &Call<'_>,
    group: &str,
    partitions: Option<&PartitionList>,
    require_stable: bool,
) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS)?;
    options.require_stable(require_stable)?;
    let group = c_string(group)?;
    let partitions = partitions.map_or(null_mut(), PartitionList::ptr);
    // SAFETY: valid client, options and queue; the request copies group and list and is destroyed after it was sent.
    unsafe {
        let mut request = sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), partitions);
        let (client, replies) = (call.client.ptr(), call.replies.ptr());
        sys::rd_kafka_ListConsumerGroupOffsets(client, &raw mut request, 1, options.ptr(), replies);
        sys::rd_kafka_ListConsumerGroupOffsets_destroy(request);
    }
    Ok(())
}

/// The answer to [`fetch_committed`].
pub(crate) fn committed(event: &Event<'_>) -> Result<Vec<Part<Option<Committed>>>, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        group_part(groups.cast_const(), count, |entry| {
            entry.offset().map(|offset| Committed {
                offset,
                leader_epoch: entry.leader_epoch(),
                metadata: entry.metadata().to_vec(),
            })
        })
    }
}

/// Sets a group's offsets.
pub(crate) fn alter(call: &Call<'_>, group: &str, offsets: &PartitionList) -> Result<(), KafkaError> {
    let options = Options::of(call, op::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS)?;
    let group = c_string(group)?;
    // SAFETY: valid client, options and queue; the request copies group and list and is destroyed after it was sent.
    unsafe {
        let mut request = sys::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), offsets.ptr());
        let (client, replies) = (call.client.ptr(), call.replies.ptr());
        sys::rd_kafka_AlterConsumerGroupOffsets(client, &raw mut request, 1, options.ptr(), replies);
        sys::rd_kafka_AlterConsumerGroupOffsets_destroy(request);
    }
    Ok(())
}

/// The answer to [`alter`].
pub(crate) fn altered(event: &Event<'_>) -> Result<Vec<Part<()>>, KafkaError> {
    event.error().map_or(Ok(()), Err)?;
    let mut count = 0;
    // SAFETY: a valid event, null if of another kind; what is read is copied while the event lives.
    unsafe {
        let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(event.ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let groups = sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
        group_part(groups.cast_const(), count, |_entry| ())
    }
}

/// The partitions of the one group that was asked about.
///
/// # Safety
/// `groups` holds `count` valid pointers.
unsafe fn group_part<T>(
    groups: *const *const sys::rd_kafka_group_result_t,
    count: usize,
    read: impl Fn(&Entry<'_>) -> T,
) -> Result<Vec<Part<T>>, KafkaError> {
    // SAFETY: the caller's promise, for this and what follows.
    let Some(group) = unsafe { items(groups, count) }.next() else { return Ok(Vec::new()) };
    // SAFETY: as above.
    let entries = unsafe {
        error::borrowed(sys::rd_kafka_group_result_error(group))?;
        partitions::entries(sys::rd_kafka_group_result_partitions(group))
    };
    Ok(entries
        .map(|entry| (entry.topic().to_owned(), entry.partition(), entry.result().map(|()| read(&entry))))
        .collect())
}
