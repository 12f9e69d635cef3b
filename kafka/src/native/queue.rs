//! librdkafka's queues, and the signal that a queue may have something.
#![expect(unsafe_code, reason = "polls queues and registers a callback on them")]

use std::ffi::{CString, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::time::Duration;

use rdkafka_sys::bindings as sys;

use super::client::{Client, millis};
use super::event::Event;
use super::headers;
use crate::error::{ErrorCode, KafkaError};
use crate::place::{BATCH, Place};
use crate::record::{BorrowedRecord, RecordSink, Timestamp};
use crate::wake::{Maybe, Waker};

/// A queue, its client, and whether it may hold something.
#[derive(Debug)]
pub(crate) struct Queue {
    handle: NonNull<sys::rd_kafka_queue_t>,
    signal: Arc<Signal>,
    /// Held, never used: a client must not be freed before its queues.
    _client: Arc<Client>,
}

// SAFETY: librdkafka's queues are thread-safe (rdkafka.h, "Thread safety").
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

#[derive(Debug)]
struct Signal {
    maybe: Maybe,
    waker: Waker,
}

/// librdkafka calls this, with the queue locked, whenever something enters an empty queue.
unsafe extern "C" fn on_nonempty(_client: *mut sys::rd_kafka_t, signal: *mut c_void) {
    // SAFETY: `Queue` keeps its signal alive until it has taken the callback away, under the same lock.
    let signal = unsafe { &*signal.cast::<Signal>() };
    signal.maybe.raise();
    signal.waker.wake();
}

impl Queue {
    /// A queue of our own, for replies.
    pub(crate) fn new(client: &Arc<Client>, waker: Waker) -> Self {
        // SAFETY: a valid client; allocates.
        Self::wrap(unsafe { sys::rd_kafka_queue_new(client.ptr()) }, client, waker)
    }

    /// As [`consumer`](Self::consumer), for a thread that only ever [`wait`](Self::wait)s.
    pub(crate) fn consumer_unsignalled(client: &Arc<Client>) -> Result<Self, KafkaError> {
        Self::consumer(client, Waker::of_nobody())
    }

    /// Where the client puts its events.
    pub(crate) fn main(client: &Arc<Client>, waker: Waker) -> Self {
        // SAFETY: a valid client; every client has this queue.
        Self::wrap(unsafe { sys::rd_kafka_queue_get_main(client.ptr()) }, client, waker)
    }

    /// Where a consumer puts its events, and those of the client with them.
    pub(crate) fn consumer(client: &Arc<Client>, waker: Waker) -> Result<Self, KafkaError> {
        // SAFETY: a valid client.
        let (code, queue) = unsafe {
            let code = sys::rd_kafka_poll_set_consumer(client.ptr());
            (code, sys::rd_kafka_queue_get_consumer(client.ptr()))
        };
        match super::error::error(code, String::new(), false) {
            Some(error) => Err(error),
            None => Ok(Self::wrap(queue, client, waker)),
        }
    }

    /// A partition's records, apart from the others'. They are put there from now on and, because librdkafka forgets the
    /// separation never but the queue sometimes (a topic made anew has another), ask for it anew at each assignment.
    pub(crate) fn partition(client: &Arc<Client>, topic: &CString, partition: i32, waker: Waker) -> Option<Self> {
        // SAFETY: a valid client and a C string; the queue returned is ours to destroy. Forwarding to nowhere separates it.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_partition(client.ptr(), topic.as_ptr(), partition);
            if queue.is_null() {
                return None;
            }
            sys::rd_kafka_queue_forward(queue, null_mut());
            queue
        };
        Some(Self::wrap(queue, client, waker))
    }

    fn wrap(queue: *mut sys::rd_kafka_queue_t, client: &Arc<Client>, waker: Waker) -> Self {
        // It may have filled before the callback was there: the first look is free.
        let signal = Arc::new(Signal { maybe: Maybe::new(true), waker });
        // SAFETY: librdkafka aborts rather than return null for these queues. The signal's address stays valid until
        // `drop` takes the callback away.
        let handle = unsafe {
            sys::rd_kafka_queue_cb_event_enable(queue, Some(on_nonempty), Arc::as_ptr(&signal).cast_mut().cast());
            NonNull::new_unchecked(queue)
        };
        Self { handle, signal, _client: Arc::clone(client) }
    }

    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.handle.as_ptr()
    }

    /// It was signalled since it was last found empty.
    pub(crate) fn maybe(&self) -> bool {
        self.signal.maybe.is_raised()
    }

    /// The next event, if there is one now.
    pub(crate) fn poll(&self) -> Option<Event<'_>> {
        self.signal.maybe.look(|| {
            let event = self.wait(Duration::ZERO);
            let more = event.is_some();
            (event, more)
        })
    }

    /// The next event, waiting for it at most this long.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Event<'_>> {
        // SAFETY: a valid queue; the event returned is ours to destroy.
        unsafe { Event::new(sys::rd_kafka_queue_poll(self.ptr(), millis(timeout))) }
    }

    /// Ends a [`wait`](Self::wait) of another thread.
    pub(crate) fn interrupt(&self) {
        // SAFETY: a valid queue.
        unsafe { sys::rd_kafka_queue_yield(self.ptr()) };
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: takes the callback away under the queue's lock, after which the signal is not used; then gives our
        // reference to the queue back.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.ptr(), None, null_mut());
            sys::rd_kafka_queue_destroy(self.ptr());
        }
    }
}

/// What was taken from a partition's queue.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) empty: bool,
    /// What was found in the queue behind the last record. It leaves the client in the belief that it was a record
    /// (`rd_kafka_q_serve_rkmessages` in rdkafka_queue.c, 2.12.1; librdkafka #5213 mends it for ends), and what came with it is gone: unless
    /// the offset is lost, the partition must be read again from its place.
    pub(crate) error: Option<KafkaError>,
    /// Where the client stood when it met the error; below 0 where that is not said.
    pub(crate) error_at: i64,
}

impl Queue {
    /// Hands records to `sink` until one of the limits is reached, the queue is empty, or an error is found in it.
    pub(crate) fn take(
        &self,
        (max_records, max_bytes): (usize, usize),
        place: &mut Place,
        sink: &mut impl RecordSink,
    ) -> Taken {
        self.signal.maybe.look(|| {
            let taken = self.take_now(max_records, max_bytes, place, sink);
            let more = !taken.empty;
            (taken, more)
        })
    }

    fn take_now(&self, max_records: usize, max_bytes: usize, place: &mut Place, sink: &mut impl RecordSink) -> Taken {
        let mut taken = Taken::default();
        while taken.records < max_records && taken.bytes < max_bytes {
            let most = place.batch(max_records - taken.records, max_bytes - taken.bytes);
            let batch = self.next(most);
            for message in batch.iter() {
                if let Some(error) = message.error() {
                    (taken.error, taken.error_at) = (Some(error), message.0.offset);
                    return taken;
                }
                let record = message.record();
                let size = record.size();
                place.took(record.offset, record.leader_epoch, size);
                taken.records += 1;
                taken.bytes += size;
                sink.accept(record);
            }
            if batch.count < most {
                taken.empty = true;
                break;
            }
        }
        taken
    }

    /// As many messages as there are now, at most `most`. Fewer means that there are no more.
    fn next(&self, most: usize) -> Batch {
        let mut messages = [null_mut(); BATCH];
        // SAFETY: a valid queue, and room for so many messages, which are ours to destroy.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.ptr(), 0, messages.as_mut_ptr(), most.min(BATCH)) };
        Batch { messages, count: usize::try_from(count).unwrap_or(0) }
    }
}

/// Messages that are ours.
struct Batch {
    messages: [*mut sys::rd_kafka_message_t; BATCH],
    count: usize,
}

impl Batch {
    fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: librdkafka has put `count` messages there, and they live as long as `self`.
        self.messages[..self.count].iter().map(|message| Message(unsafe { &**message }))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for message in &self.messages[..self.count] {
            // SAFETY: ours, and every borrow from it has ended.
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
    }
}

struct Message<'a>(&'a sys::rd_kafka_message_t);

impl<'a> Message<'a> {
    fn error(&self) -> Option<KafkaError> {
        // SAFETY: a valid message; its text is copied.
        unsafe {
            let message = self.0;
            let code = super::error::code_in(&message.err);
            if code == ErrorCode::NONE {
                return None;
            }
            let text = super::error::text(sys::rd_kafka_message_errstr(message));
            Some(super::error::named(code, text, false))
        }
    }

    fn record(&self) -> BorrowedRecord<'a> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: a valid message, whose bytes and headers live as long as its batch.
        let (message, millis, epoch, headers) = unsafe {
            let message = self.0;
            let millis = sys::rd_kafka_message_timestamp(message, &raw mut kind);
            (message, millis, sys::rd_kafka_message_leader_epoch(message), headers::of_message(message))
        };
        let timestamp = match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::CreateTime(millis),
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Timestamp::LogAppendTime(millis),
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::None,
        };
        // SAFETY: librdkafka points at `len` bytes, or is null for null.
        let bytes = |pointer: *mut c_void, len| unsafe {
            (!pointer.is_null()).then(|| std::slice::from_raw_parts(pointer.cast::<u8>(), len))
        };
        BorrowedRecord {
            offset: message.offset,
            leader_epoch: (epoch >= 0).then_some(epoch),
            timestamp,
            key: bytes(message.key, message.key_len),
            value: bytes(message.payload, message.len),
            headers,
        }
    }
}
