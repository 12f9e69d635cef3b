//! A record as a handler sees it.

use std::ops::Deref;
use std::sync::Arc;

use penstock_engine::seam::{self, Delivery};
use serde::de::DeserializeOwned;

use crate::contract::request::Origin;

/// A record whose value is decoded. Everything else about it is in [`Raw`].
#[derive(Clone, Debug)]
pub struct Record<V> {
    /// The value, decoded.
    pub value: V,
    raw: Raw,
}

/// A record as it came from the broker, and where it came from.
#[derive(Clone, Debug)]
pub struct Raw {
    record: seam::Record,
    origin: Arc<Origin>,
    attempt: u32,
    owner: u64,
}

/// What a record's value can be decoded to.
pub trait Decode: Sized + Send + 'static {
    /// Decodes the value.
    ///
    /// # Errors
    /// It cannot be decoded, now or ever: the record is rejected.
    fn decode(raw: &Raw) -> Result<Self, Undecodable>;
}

/// Why a record cannot be decoded. Goes into the dead letter's headers: name fields and positions, not content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be decoded: {0}")]
pub struct Undecodable(pub String);

/// A value that is JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl Raw {
    pub(crate) fn new(delivery: &Delivery, origin: Arc<Origin>) -> Self {
        Self { record: delivery.record.clone(), origin, attempt: delivery.attempt, owner: delivery.owner }
    }

    /// At its first call.
    pub(crate) const fn first_call(record: seam::Record, origin: Arc<Origin>, owner: u64) -> Self {
        Self { record, origin, attempt: 1, owner }
    }

    /// The key; `None` is null, which is not the same as empty.
    pub fn key(&self) -> Option<&[u8]> {
        self.record.key()
    }

    /// The value as it is; `None` is null: a tombstone.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.record.value()
    }

    /// Names and values in order, duplicates included; `None` is null.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.record.headers()
    }

    /// The last value under a name, as Kafka's own clients choose.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().filter(|(own, _)| *own == name.as_bytes()).last().and_then(|(_, value)| value)
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.origin.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.origin.partition
    }

    /// The offset.
    pub fn offset(&self) -> i64 {
        self.record.offset()
    }

    /// Milliseconds since the Unix epoch, by the producer's clock or the broker's; `None` where there is none.
    pub fn timestamp_millis(&self) -> Option<i64> {
        crate::kafka::millis(self.record.timestamp())
    }

    /// Names the record for all time: `<cluster>/<topic id>/<partition>/<offset>`. The key for whoever must do a thing once.
    pub fn id(&self) -> String {
        self.origin.record_id(self.record.offset())
    }

    /// 1 for the first call, and one more for each that failed.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Rises whenever the partition goes to another worker: a write with a lower number comes too late.
    pub fn owner(&self) -> u64 {
        self.owner
    }
}

impl<V: Decode> Record<V> {
    pub(crate) fn decode(raw: Raw) -> Result<Self, Undecodable> {
        Ok(Self { value: V::decode(&raw)?, raw })
    }
}

impl<V> Deref for Record<V> {
    type Target = Raw;

    fn deref(&self) -> &Raw {
        &self.raw
    }
}

/// For handlers that look at [`Raw::bytes`] themselves.
impl Decode for () {
    fn decode(_: &Raw) -> Result<Self, Undecodable> {
        Ok(())
    }
}

impl Decode for String {
    fn decode(raw: &Raw) -> Result<Self, Undecodable> {
        let text = std::str::from_utf8(present(raw)?).map_err(|error| Undecodable(error.to_string()))?;
        Ok(text.to_owned())
    }
}

/// `None` for a null value.
impl<T: Decode> Decode for Option<T> {
    fn decode(raw: &Raw) -> Result<Self, Undecodable> {
        raw.bytes().map(|_| T::decode(raw)).transpose()
    }
}

impl<T: DeserializeOwned + Send + 'static> Decode for Json<T> {
    fn decode(raw: &Raw) -> Result<Self, Undecodable> {
        let value = serde_json::from_slice(present(raw)?);
        // serde's own text may quote the value; where it went wrong is enough.
        value.map(Json).map_err(|error| {
            let kind = if error.is_data() { "its JSON has another shape" } else { "it is not JSON" };
            Undecodable(format!("{kind}, at line {} column {}", error.line(), error.column()))
        })
    }
}

fn present(raw: &Raw) -> Result<&[u8], Undecodable> {
    raw.bytes().ok_or_else(|| Undecodable("it is null; take an Option to be given tombstones".to_owned()))
}
