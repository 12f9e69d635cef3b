//! Records into a producer's queue, and delivery reports out of it.
#![expect(unsafe_code, reason = "lends records to librdkafka, which copies them")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut, without_provenance_mut};

use rdkafka_sys::bindings as sys;
use sys::rd_kafka_vtype_t as vtype;

use super::client::{Client, c_string};
use super::error;
use super::event::Event;
use crate::error::{ErrorCode, KafkaError};
use crate::producer::OutgoingRecord;

/// One delivery report.
pub(crate) struct Report {
    pub(crate) token: u64,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) bytes: usize,
    pub(crate) error: Option<KafkaError>,
}

impl Client {
    /// Queues a copy of the record. Its report carries `token` and comes with the [`Event`]s of the main queue.
    pub(crate) fn produce(&self, record: &OutgoingRecord<'_>, token: u64) -> Result<(), KafkaError> {
        let topic = c_string(record.topic)?;
        let headers = Headers::new(record.headers)?;
        let mut fields = Fields::new();
        fields.push(vtype::RD_KAFKA_VTYPE_TOPIC, |field| field.cstr = topic.as_ptr());
        if let Some(partition) = record.partition {
            fields.push(vtype::RD_KAFKA_VTYPE_PARTITION, |field| field.i32_ = partition);
        }
        fields.push(vtype::RD_KAFKA_VTYPE_VALUE, |field| field.mem = memory(record.value));
        fields.push(vtype::RD_KAFKA_VTYPE_KEY, |field| field.mem = memory(record.key));
        fields.push(vtype::RD_KAFKA_VTYPE_MSGFLAGS, |field| field.i = sys::RD_KAFKA_MSG_F_COPY);
        if let Some(timestamp) = record.timestamp {
            fields.push(vtype::RD_KAFKA_VTYPE_TIMESTAMP, |field| field.i64_ = timestamp);
        }
        let token = usize::try_from(token).unwrap_or(usize::MAX);
        fields.push(vtype::RD_KAFKA_VTYPE_OPAQUE, |field| field.ptr = without_provenance_mut(token));
        if let Some(headers) = &headers {
            fields.push(vtype::RD_KAFKA_VTYPE_HEADERS, |field| field.headers = headers.0.as_ptr());
        }
        // SAFETY: a valid client and that many fields. With the COPY flag nothing but the headers is kept, and those belong
        // to librdkafka from success on, which is why they are forgotten then and freed by us otherwise.
        unsafe { error::take(sys::rd_kafka_produceva(self.ptr(), fields.0.as_ptr(), fields.0.len())) }?;
        std::mem::forget(headers);
        Ok(())
    }
}

/// Null stays null: librdkafka tells an empty value from none by the pointer.
fn memory(bytes: Option<&[u8]>) -> sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    let ptr = bytes.map_or(null_mut(), |bytes| bytes.as_ptr().cast_mut().cast::<c_void>());
    sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size: bytes.map_or(0, <[u8]>::len) }
}

/// The arguments of one produce call.
struct Fields(Vec<sys::rd_kafka_vu_t>);

impl Fields {
    fn new() -> Self {
        Self(Vec::with_capacity(8))
    }

    fn push(&mut self, kind: vtype, fill: impl FnOnce(&mut sys::rd_kafka_vu_s__bindgen_ty_1)) {
        let mut value = sys::rd_kafka_vu_s__bindgen_ty_1 { _pad: [0; 64] };
        fill(&mut value);
        self.0.push(sys::rd_kafka_vu_t { vtype: kind, u: value });
    }
}

struct Headers(NonNull<sys::rd_kafka_headers_t>);

impl Headers {
    fn new(headers: &[(&[u8], Option<&[u8]>)]) -> Result<Option<Self>, KafkaError> {
        if headers.is_empty() {
            return Ok(None);
        }
        // SAFETY: allocates; librdkafka aborts rather than return null.
        let list = Self(unsafe { NonNull::new_unchecked(sys::rd_kafka_headers_new(headers.len())) });
        for (name, value) in headers {
            if name.contains(&0) {
                let text = format!("the header name {:?} contains a NUL character", String::from_utf8_lossy(name));
                return Err(KafkaError { code: ErrorCode::INVALID_RECORD, text, fatal: false });
            }
            let size = |bytes: &[u8]| isize::try_from(bytes.len()).unwrap_or(isize::MAX);
            let (bytes, length) = value.map_or((std::ptr::null(), 0), |value| (value.as_ptr(), size(value)));
            // SAFETY: a valid list, a name and a value of the sizes given, both copied.
            let code = unsafe {
                sys::rd_kafka_header_add(
                    list.0.as_ptr(),
                    name.as_ptr().cast::<c_char>(),
                    size(name),
                    bytes.cast(),
                    length,
                )
            };
            if let Some(error) = error::error(code, String::new(), false) {
                return Err(error);
            }
        }
        Ok(Some(list))
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: ours, since no record took them.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}

/// The delivery reports of one event.
pub(crate) fn reports(event: &Event<'_>) -> Vec<Report> {
    // SAFETY: a valid event; each message is valid until the event is destroyed and is copied from before.
    unsafe {
        let mut reports = Vec::with_capacity(sys::rd_kafka_event_message_count(event.ptr()));
        while let Some(message) = sys::rd_kafka_event_message_next(event.ptr()).as_ref() {
            reports.push(Report {
                token: message._private.addr() as u64,
                partition: message.partition,
                offset: message.offset,
                bytes: message.len + message.key_len,
                error: produce_error(message),
            });
        }
        reports
    }
}

/// # Safety
/// `message` comes from a delivery report.
unsafe fn produce_error(message: &sys::rd_kafka_message_t) -> Option<KafkaError> {
    let code = error::code_in(&message.err);
    if code == ErrorCode::NONE {
        return None;
    }
    // SAFETY: the caller's promise; the text is copied.
    let text = unsafe { error::text(sys::rd_kafka_message_produce_errstr(message)) };
    Some(error::named(code, text, false))
}

/// What the producer still holds is dropped and reported as purged.
pub(crate) fn purge(client: &Client) {
    const QUEUED: c_int = 1;
    const IN_FLIGHT: c_int = 2;
    // SAFETY: a valid producer; the result only says that it is not one.
    let _done = unsafe { sys::rd_kafka_purge(client.ptr(), QUEUED | IN_FLIGHT) };
}
