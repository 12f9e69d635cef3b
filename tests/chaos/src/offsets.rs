//! The wire format of `__consumer_offsets`: what a group coordinator writes for an offset commit.
//!
//! Formats: `OffsetCommitKey.json` (versions 0–1) and `OffsetCommitValue.json` (versions 0–4; 4 is flexible, KIP-482) in
//! Kafka's group-coordinator module. Keys of other versions are about groups and members, not offsets.

/// Which partition a commit is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// What was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The offset.
    pub offset: i64,
    /// The leader epoch, −1 for none (and before version 3).
    pub leader_epoch: i32,
    /// The metadata.
    pub metadata: String,
    /// When the coordinator took it, milliseconds since the epoch.
    pub timestamp: i64,
}

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes ended too early, or a length is impossible.
    #[error("a record of __consumer_offsets ends too early")]
    Short,
    /// A format that this reader does not know.
    #[error("version {0} of an offset commit is unknown: add it from OffsetCommitValue.json")]
    Version(i16),
    /// Text that is not UTF-8.
    #[error("a string of __consumer_offsets is not UTF-8")]
    Text,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn int16(&mut self) -> Result<i16, Malformed> {
        self.take().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Result<i32, Malformed> {
        self.take().map(i32::from_be_bytes)
    }

    fn int64(&mut self) -> Result<i64, Malformed> {
        self.take().map(i64::from_be_bytes)
    }

    /// LEB128, as in KIP-482.
    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Short)
    }

    fn text(&mut self, length: usize) -> Result<String, Malformed> {
        let (text, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        let text: &'a [u8] = text;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| Malformed::Text)
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let length = usize::try_from(self.int16()?).map_err(|_| Malformed::Short)?;
        self.text(length)
    }

    fn compact_string(&mut self) -> Result<String, Malformed> {
        let length = self.varint()?.checked_sub(1).ok_or(Malformed::Short)?;
        self.text(length)
    }
}

/// The key of an offset commit; `None` for a record about something else.
///
/// # Errors
/// An offset commit that cannot be read.
pub fn key(bytes: &[u8]) -> Result<Option<Key>, Malformed> {
    let mut reader = Reader(bytes);
    match reader.int16()? {
        0 | 1 => Ok(Some(Key { group: reader.string()?, topic: reader.string()?, partition: reader.int32()? })),
        _ => Ok(None),
    }
}

/// The value of an offset commit.
///
/// # Errors
/// Bytes that are none, or of an unknown version.
pub fn value(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut reader = Reader(bytes);
    let version = reader.int16()?;
    if !(0..=4).contains(&version) {
        return Err(Malformed::Version(version));
    }
    let offset = reader.int64()?;
    let leader_epoch = if version >= 3 { reader.int32()? } else { -1 };
    let metadata = if version >= 4 { reader.compact_string()? } else { reader.string()? };
    Ok(Value { offset, leader_epoch, metadata, timestamp: reader.int64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Vec<u8> {
        [&i16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
    }

    #[test]
    fn keys_of_commits_are_told_from_others() {
        let bytes = [&1_i16.to_be_bytes()[..], &string("g"), &string("orders"), &7_i32.to_be_bytes()].concat();
        let expected = Key { group: "g".to_owned(), topic: "orders".to_owned(), partition: 7 };
        assert_eq!(key(&bytes), Ok(Some(expected)));
        let group = [&2_i16.to_be_bytes()[..], &string("g")].concat();
        assert_eq!(key(&group), Ok(None));
        assert_eq!(key(&bytes[..bytes.len() - 1]), Err(Malformed::Short));
    }

    #[test]
    fn every_version_of_a_value_is_read() {
        let tail = 9_i64.to_be_bytes();
        let offset = 42_i64.to_be_bytes();
        let (epoch, text) = (5_i32.to_be_bytes(), string("p1.x"));
        let version = i16::to_be_bytes;
        let expected = |leader_epoch| Value { offset: 42, leader_epoch, metadata: "p1.x".to_owned(), timestamp: 9 };
        for old in [0, 2] {
            assert_eq!(value(&[&version(old)[..], &offset, &text, &tail].concat()), Ok(expected(-1)));
        }
        let v1 = [&version(1)[..], &offset, &text, &tail, &99_i64.to_be_bytes()].concat();
        assert_eq!(value(&v1), Ok(expected(-1)));
        assert_eq!(value(&[&version(3)[..], &offset, &epoch, &text, &tail].concat()), Ok(expected(5)));
        let v4 = [&version(4)[..], &offset, &epoch, &[5], b"p1.x", &tail, &[0]].concat();
        assert_eq!(value(&v4), Ok(expected(5)));
        assert_eq!(value(&version(5)), Err(Malformed::Version(5)));
    }

    #[test]
    fn a_long_compact_string_has_a_length_of_two_bytes() {
        let text = "x".repeat(4096);
        let bytes = [
            &4_i16.to_be_bytes()[..],
            &1_i64.to_be_bytes(),
            &0_i32.to_be_bytes(),
            &[0x81, 0x20],
            text.as_bytes(),
            &2_i64.to_be_bytes(),
        ];
        assert_eq!(value(&bytes.concat()).unwrap().metadata, text);
    }
}
