//! A record's headers, read in place.
#![expect(unsafe_code, reason = "headers are read where librdkafka parsed them")]

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::{null, null_mut};

use rdkafka_sys::bindings as sys;

/// The headers of one message.
#[derive(Clone, Copy)]
pub(crate) struct Headers<'a> {
    headers: *const sys::rd_kafka_headers_t,
    message: PhantomData<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// In order.
    pub(crate) fn iter(self) -> HeaderIter<'a> {
        HeaderIter { of: self, next: 0 }
    }
}

/// Name and value of one header after the other.
#[derive(Clone)]
pub(crate) struct HeaderIter<'a> {
    of: Headers<'a>,
    next: usize,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.of.headers.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (null(), null(), 0);
        // SAFETY: `headers` is valid by the promise of `of_message`; the out-pointers are ours.
        let code = unsafe {
            sys::rd_kafka_header_get_all(self.of.headers, self.next, &raw mut name, &raw mut value, &raw mut size)
        };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        self.next += 1;
        // SAFETY: librdkafka keeps the name NUL-terminated and lends `size` bytes of value as long as the message lives.
        let (name, value) = unsafe {
            (
                CStr::from_ptr(name).to_bytes(),
                (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast(), size)),
            )
        };
        Some((name, value))
    }
}

/// The headers of `message`, parsed on first use by librdkafka.
///
/// # Safety
/// `message` is valid and stays so for `'a`.
pub(crate) unsafe fn of_message<'a>(message: *const sys::rd_kafka_message_t) -> Headers<'a> {
    let mut headers = null_mut();
    // SAFETY: a valid message by the caller's promise; on an error `headers` stays null, which reads as no headers.
    let _absent = unsafe { sys::rd_kafka_message_headers(message, &raw mut headers) };
    Headers { headers, message: PhantomData }
}
