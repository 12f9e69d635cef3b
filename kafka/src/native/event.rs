//! Events from a queue.
#![expect(unsafe_code, reason = "reads events where librdkafka keeps them")]

use std::ffi::c_int;
use std::marker::PhantomData;
use std::ptr::NonNull;

use rdkafka_sys::bindings as sys;

use super::error;
use super::partitions::{self, Entry};
use super::queue::Queue;
use crate::error::{ErrorCode, KafkaError};

/// An event that we own, from a queue that outlives it.
pub(crate) struct Event<'q> {
    event: NonNull<sys::rd_kafka_event_t>,
    queue: PhantomData<&'q Queue>,
}

impl Event<'_> {
    /// # Safety
    /// `event` is null or an event that nobody else destroys.
    pub(crate) unsafe fn new(event: *mut sys::rd_kafka_event_t) -> Option<Self> {
        NonNull::new(event).map(|event| Self { event, queue: PhantomData })
    }

    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.event.as_ptr()
    }

    /// One of `RD_KAFKA_EVENT_*`.
    pub(crate) fn kind(&self) -> c_int {
        // SAFETY: a valid event.
        unsafe { sys::rd_kafka_event_type(self.ptr()) }
    }

    /// The number that was given with the request this event answers.
    pub(crate) fn opaque(&self) -> u64 {
        // SAFETY: a valid event; the pointer is a number of ours and never followed.
        unsafe { sys::rd_kafka_event_opaque(self.ptr()).addr() as u64 }
    }

    /// The code alone, where it is not an error but the kind of a rebalance.
    pub(crate) fn code(&self) -> ErrorCode {
        // SAFETY: a valid event.
        ErrorCode(unsafe { error::numbers::rd_kafka_event_error(self.ptr()) })
    }

    pub(crate) fn error(&self) -> Option<KafkaError> {
        // SAFETY: a valid event; its text is copied. Whether it is fatal is kept for error events only: for others the same
        // memory means something else.
        unsafe {
            let fatal = self.kind() == sys::RD_KAFKA_EVENT_ERROR && sys::rd_kafka_event_error_is_fatal(self.ptr()) != 0;
            let code = error::numbers::rd_kafka_event_error(self.ptr());
            error::error_of(code, error::text(sys::rd_kafka_event_error_string(self.ptr())), fatal)
        }
    }

    /// The partitions of a rebalance or a commit.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = Entry<'_>> {
        // SAFETY: a valid event; its list lives as long as it does.
        unsafe { partitions::entries(sys::rd_kafka_event_topic_partition_list(self.ptr())) }
    }

    /// The partition that an error event is about, if it is about one.
    pub(crate) fn partition(&self) -> Option<(String, i32)> {
        // SAFETY: a valid event; the partition returned is a copy that is ours to destroy.
        unsafe {
            let partition = NonNull::new(sys::rd_kafka_event_topic_partition(self.ptr()))?;
            let entry = Entry::at(partition.as_ptr());
            let named = (entry.topic().to_owned(), entry.partition());
            sys::rd_kafka_topic_partition_destroy(partition.as_ptr());
            Some(named)
        }
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, and every borrow from it has ended.
        unsafe { sys::rd_kafka_event_destroy(self.ptr()) };
    }
}
