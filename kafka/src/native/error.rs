//! Error codes to names and sentences.
#![expect(unsafe_code, reason = "librdkafka owns the names of its codes")]

use std::ffi::{CStr, c_char};

use rdkafka_sys as sys;

use crate::error::{ErrorCode, KafkaError};

/// librdkafka's codes as bindgen gives them to us: a Rust enum. Brokers newer than librdkafka may send others, which such an enum must not
/// hold: where they land in a struct's field they are read as the numbers they are, see [`code_in`], and of functions that return them
/// [`numbers`] has its own declarations.
pub(crate) type Code = sys::bindings::rd_kafka_resp_err_t;

/// Functions of librdkafka that return what a broker sent as its code, declared with the number that it is.
pub(crate) mod numbers {
    use rdkafka_sys::bindings::{
        rd_kafka_ConfigResource_t, rd_kafka_error_t, rd_kafka_event_t, rd_kafka_t, rd_kafka_topic_partition_list_t,
        rd_kafka_topic_result_t,
    };

    // SAFETY: as rdkafka.h declares them (2.12), but for the enum they return, which C gives the representation of an `int`.
    unsafe extern "C" {
        pub(crate) fn rd_kafka_committed(
            client: *mut rd_kafka_t,
            partitions: *mut rd_kafka_topic_partition_list_t,
            timeout_ms: std::ffi::c_int,
        ) -> i32;
        pub(crate) fn rd_kafka_error_code(error: *const rd_kafka_error_t) -> i32;
        pub(crate) fn rd_kafka_event_error(event: *mut rd_kafka_event_t) -> i32;
        pub(crate) fn rd_kafka_topic_result_error(topic: *const rd_kafka_topic_result_t) -> i32;
        pub(crate) fn rd_kafka_ConfigResource_error(resource: *const rd_kafka_ConfigResource_t) -> i32;
    }
}

/// The code in a field of a struct that librdkafka filled with what a broker sent.
pub(crate) fn code_in(field: &Code) -> ErrorCode {
    // SAFETY: the enum is `repr(i32)`, so the field is an aligned i32, whatever its value.
    ErrorCode(unsafe { std::ptr::from_ref(field).cast::<i32>().read() })
}

fn described<T>(code: ErrorCode, pick: impl Fn(&sys::bindings::rd_kafka_err_desc) -> T) -> Option<T> {
    let mut table = std::ptr::null();
    let mut count = 0;
    // SAFETY: both out-pointers are valid; the table is a constant of librdkafka.
    unsafe { sys::bindings::rd_kafka_get_err_descs(&raw mut table, &raw mut count) };
    if table.is_null() {
        return None;
    }
    // SAFETY: librdkafka returned a table of that many entries, alive as long as the program.
    let table = unsafe { std::slice::from_raw_parts(table, count) };
    table.iter().find(|entry| !entry.name.is_null() && entry.code as i32 == code.0).map(pick)
}

/// # Safety
/// `text` is null or a NUL-terminated string that lives as long as the program.
unsafe fn constant(text: *const c_char) -> &'static str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default()
}

pub(crate) fn name(code: ErrorCode) -> &'static str {
    // SAFETY: the table's strings are constants of librdkafka.
    described(code, |entry| unsafe { constant(entry.name) }).unwrap_or("UNKNOWN_CODE")
}

pub(crate) fn description(code: ErrorCode) -> &'static str {
    // SAFETY: the table's strings are constants of librdkafka.
    described(code, |entry| unsafe { constant(entry.desc) }).unwrap_or("an error code that librdkafka does not know")
}

/// Text that librdkafka lends, copied; empty for null.
///
/// # Safety
/// `text` is null or NUL-terminated and valid for this call.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// The error of what librdkafka itself returned, with `text` or else its own description; `None` for no error.
pub(crate) fn error(err: Code, text: String, fatal: bool) -> Option<KafkaError> {
    error_of(err as i32, text, fatal)
}

/// The same of a number, which may be a code that librdkafka does not know: see [`numbers`].
pub(crate) fn error_of(number: i32, text: String, fatal: bool) -> Option<KafkaError> {
    let code = ErrorCode(number);
    (code != ErrorCode::NONE).then(|| named(code, text, fatal))
}

/// The error of a code, with `text` or else its own description.
pub(crate) fn named(code: ErrorCode, text: String, fatal: bool) -> KafkaError {
    let text = if text.is_empty() { code.description().to_owned() } else { text };
    KafkaError { code, text, fatal }
}

/// Takes ownership of a `rd_kafka_error_t`; null is success.
///
/// # Safety
/// `error` is null or an error that nobody else destroys.
pub(crate) unsafe fn take(error: *mut sys::bindings::rd_kafka_error_t) -> Result<(), KafkaError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a valid error by the caller's promise; its string is copied before it is destroyed.
    let (code, text, fatal) = unsafe {
        let code = numbers::rd_kafka_error_code(error);
        let text = text(sys::bindings::rd_kafka_error_string(error));
        let fatal = sys::bindings::rd_kafka_error_is_fatal(error) != 0;
        sys::bindings::rd_kafka_error_destroy(error);
        (code, text, fatal)
    };
    error_of(code, text, fatal).map_or(Ok(()), Err)
}

/// An error that somebody else owns; null is success.
///
/// # Safety
/// `error` is null or valid for this call.
pub(crate) unsafe fn borrowed(error: *const sys::bindings::rd_kafka_error_t) -> Result<(), KafkaError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a valid error by the caller's promise; its string is copied.
    let (code, text) = unsafe {
        let text = text(sys::bindings::rd_kafka_error_string(error));
        (numbers::rd_kafka_error_code(error), text)
    };
    error_of(code, text, false).map_or(Ok(()), Err)
}
