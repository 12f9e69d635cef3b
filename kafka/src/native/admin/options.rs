//! Options of admin calls, and arrays of things to pass to them.
#![expect(unsafe_code, reason = "owns librdkafka's options and arguments")]

use std::ffi::c_int;
use std::ptr::without_provenance_mut;
use std::time::Duration;

use rdkafka_sys::bindings as sys;

use super::Call;
use crate::error::KafkaError;
use crate::native::client::{Client, Text, millis};
use crate::native::error;

/// Options of one call.
pub(crate) struct Options(*mut sys::rd_kafka_AdminOptions_t);

impl Options {
    /// Options with a timeout for everything (finding brokers, sending, the broker's own work) and the answer's number.
    pub(crate) fn new(
        client: &Client,
        operation: sys::rd_kafka_admin_op_t,
        timeout: Duration,
        number: u64,
    ) -> Result<Self, KafkaError> {
        // SAFETY: a valid client and an operation that librdkafka lists.
        let options = Self(unsafe { sys::rd_kafka_AdminOptions_new(client.ptr(), operation) });
        let mut text = Text::new();
        let (buffer, size) = text.buffer();
        // SAFETY: valid options and a buffer of the size given; the opaque is a number and never followed.
        let code = unsafe {
            let number = without_provenance_mut(usize::try_from(number).unwrap_or(usize::MAX));
            sys::rd_kafka_AdminOptions_set_opaque(options.0, number);
            sys::rd_kafka_AdminOptions_set_request_timeout(options.0, millis(timeout).max(1), buffer, size)
        };
        error::error(code, text.take(), false).map_or(Ok(options), Err)
    }

    /// Options of `call`.
    pub(crate) fn of(call: &Call<'_>, operation: sys::rd_kafka_admin_op_t) -> Result<Self, KafkaError> {
        Self::new(call.client, operation, call.timeout, call.number)
    }

    /// The broker answers when the change is done, or after this long, and not at once.
    pub(crate) fn wait_until_done(&self, timeout: Duration) -> Result<(), KafkaError> {
        let mut text = Text::new();
        let (buffer, size) = text.buffer();
        // SAFETY: valid options and a buffer of the size given.
        let code =
            unsafe { sys::rd_kafka_AdminOptions_set_operation_timeout(self.0, millis(timeout).max(1), buffer, size) };
        error::error(code, text.take(), false).map_or(Ok(()), Err)
    }

    pub(crate) fn require_stable(&self, stable: bool) -> Result<(), KafkaError> {
        // SAFETY: valid options; the error returned is ours.
        unsafe { error::take(sys::rd_kafka_AdminOptions_set_require_stable_offsets(self.0, c_int::from(stable))) }
    }

    pub(crate) fn isolation(&self, level: sys::rd_kafka_IsolationLevel_t) -> Result<(), KafkaError> {
        // SAFETY: valid options; the error returned is ours.
        unsafe { error::take(sys::rd_kafka_AdminOptions_set_isolation_level(self.0, level)) }
    }

    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_AdminOptions_t {
        self.0
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: ours; calls copy their options.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0) };
    }
}

/// Arguments of a call, each with the function that frees it. Calls copy them.
pub(crate) struct Arguments<T> {
    pub(crate) items: Vec<*mut T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Arguments<T> {
    /// # Safety
    /// `destroy` frees what will be pushed to `items`.
    pub(crate) unsafe fn new(destroy: unsafe extern "C" fn(*mut T)) -> Self {
        Self { items: Vec::new(), destroy }
    }
}

impl<T> Drop for Arguments<T> {
    fn drop(&mut self) {
        for item in &self.items {
            // SAFETY: the promise of `new`.
            unsafe { (self.destroy)(*item) };
        }
    }
}

/// An array that an answer holds: `count` pointers, read while the answer lives.
///
/// # Safety
/// `array` is null or holds `count` valid pointers for `'a`.
pub(crate) unsafe fn items<'a, T: 'a>(array: *const *const T, count: usize) -> impl Iterator<Item = &'a T> {
    let slice = if array.is_null() || count == 0 {
        &[]
    } else {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(array, count) }
    };
    // SAFETY: as above.
    slice.iter().filter_map(|item| unsafe { item.as_ref() })
}
