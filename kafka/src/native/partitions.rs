//! Lists of partitions, as librdkafka takes and gives them.
#![expect(unsafe_code, reason = "fills and reads C arrays")]

use std::ffi::{CStr, CString, c_int};
use std::ptr::NonNull;

use rdkafka_sys::bindings as sys;

use super::error;
use crate::error::ErrorCode;

/// A list that we own. Never keep one: its entries hold librdkafka's partitions, and a client cannot be freed before.
pub(crate) struct PartitionList(NonNull<sys::rd_kafka_topic_partition_list_t>);

/// One entry of a list, read in place.
pub(crate) struct Entry<'a>(&'a sys::rd_kafka_topic_partition_t);

impl PartitionList {
    pub(crate) fn with_capacity(entries: usize) -> Self {
        // SAFETY: allocates; librdkafka aborts rather than return null.
        let list = unsafe { sys::rd_kafka_topic_partition_list_new(c_int::try_from(entries).unwrap_or(0)) };
        // SAFETY: not null, as above.
        Self(unsafe { NonNull::new_unchecked(list) })
    }

    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    /// Adds a partition without offset.
    pub(crate) fn add(&mut self, topic: &CString, partition: i32) {
        self.add_at(topic, partition, sys::RD_KAFKA_OFFSET_INVALID.into(), None);
    }

    /// Adds a partition with an offset, or one of librdkafka's negative names for one.
    pub(crate) fn add_at(&mut self, topic: &CString, partition: i32, offset: i64, leader_epoch: Option<i32>) {
        // SAFETY: a valid list; the entry is ours until the next one is added.
        unsafe {
            let entry = sys::rd_kafka_topic_partition_list_add(self.ptr(), topic.as_ptr(), partition);
            (*entry).offset = offset;
            sys::rd_kafka_topic_partition_set_leader_epoch(entry, leader_epoch.unwrap_or(-1));
        }
    }

    /// Gives the entry added last its metadata.
    pub(crate) fn set_last_metadata(&mut self, metadata: &[u8]) {
        // SAFETY: the last of `cnt` entries. librdkafka frees the metadata with the list, so the bytes come from its own
        // allocator, of the size copied; an entry added by us has none yet, so nothing leaks.
        unsafe {
            let list = self.0.as_mut();
            let Some(index) = usize::try_from(list.cnt).ok().and_then(|count| count.checked_sub(1)) else { return };
            let entry = list.elems.add(index);
            let bytes = sys::rd_kafka_mem_malloc(std::ptr::null_mut(), metadata.len().max(1));
            std::ptr::copy_nonoverlapping(metadata.as_ptr(), bytes.cast(), metadata.len());
            (*entry).metadata = bytes;
            (*entry).metadata_size = metadata.len();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        // SAFETY: our list is valid as long as `self`.
        unsafe { entries(self.ptr()) }
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody refers to it any more.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.ptr()) };
    }
}

/// The entries of a list; none for null.
///
/// # Safety
/// `list` is null, or valid and unchanged for `'a`.
pub(crate) unsafe fn entries<'a>(list: *const sys::rd_kafka_topic_partition_list_t) -> impl Iterator<Item = Entry<'a>> {
    let slice = if list.is_null() {
        &[]
    } else {
        // SAFETY: a valid list has `cnt` entries at `elems`, which may be null only if there are none.
        unsafe {
            match usize::try_from((*list).cnt) {
                Ok(count @ 1..) => std::slice::from_raw_parts((*list).elems, count),
                _ => &[],
            }
        }
    };
    slice.iter().map(Entry)
}

impl Entry<'_> {
    /// The entry that `ptr` points to.
    ///
    /// # Safety
    /// `ptr` is valid and unchanged as long as the entry is used.
    pub(crate) unsafe fn at(ptr: *const sys::rd_kafka_topic_partition_t) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { &*ptr })
    }

    pub(crate) fn topic(&self) -> &str {
        // SAFETY: an entry's topic is a C string that lives as long as the entry.
        unsafe { CStr::from_ptr(self.0.topic) }.to_str().unwrap_or_default()
    }

    pub(crate) fn partition(&self) -> i32 {
        self.0.partition
    }

    /// The offset, or `None` for librdkafka's negative names.
    pub(crate) fn offset(&self) -> Option<i64> {
        (self.0.offset >= 0).then_some(self.0.offset)
    }

    /// Nobody gave the entry an offset.
    pub(crate) fn is_unset(&self) -> bool {
        self.0.offset == i64::from(sys::RD_KAFKA_OFFSET_INVALID)
    }

    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: a valid entry, which is only read.
        let epoch = unsafe { sys::rd_kafka_topic_partition_get_leader_epoch(self.0) };
        (epoch >= 0).then_some(epoch)
    }

    pub(crate) fn metadata(&self) -> &[u8] {
        if self.0.metadata.is_null() {
            return &[];
        }
        // SAFETY: librdkafka keeps `metadata_size` bytes there as long as the entry lives.
        unsafe { std::slice::from_raw_parts(self.0.metadata.cast(), self.0.metadata_size) }
    }

    pub(crate) fn result(&self) -> Result<(), ErrorCode> {
        match error::code_in(&self.0.err) {
            ErrorCode::NONE => Ok(()),
            code => Err(code),
        }
    }
}
