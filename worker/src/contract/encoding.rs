//! Percent-encoding of bytes that an HTTP header cannot carry (RFC 3986), and the list of a record's headers.

use penstock_engine::seam::OutputHeader;

/// Which bytes stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// RFC 3986's unreserved characters: letters, digits and `-._~`.
    Unreserved,
    /// Everything printable but space, `"` and `%`, as the CloudEvents HTTP binding (1.0, section 3.1.3.2) asks.
    CloudEvents,
}

impl Keep {
    fn keeps(self, byte: u8) -> bool {
        match self {
            Self::Unreserved => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'),
            Self::CloudEvents => byte.is_ascii_graphic() && byte != b'"' && byte != b'%',
        }
    }
}

/// Appends `bytes`, percent-encoded with upper-case digits.
pub fn encode(bytes: &[u8], keep: Keep, into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if keep.keeps(byte) {
            into.push(byte);
        } else {
            into.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// The bytes that `text` stands for. A `%` without two digits behind it stands for itself, and `+` is a plus.
pub fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| Some(digit(two[0])? << 4 | digit(two[1])?));
        if let (b'%', Some(byte)) = (first, digits) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Appends a record's headers as one list: `name=value&name&…`. Order and repeated names are kept; a name without `=` has a null
/// value.
pub fn encode_headers<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>, into: &mut Vec<u8>) {
    for (index, (name, value)) in headers.enumerate() {
        if index > 0 {
            into.push(b'&');
        }
        encode(name, Keep::Unreserved, into);
        if let Some(value) = value {
            into.push(b'=');
            encode(value, Keep::Unreserved, into);
        }
    }
}

/// The names and values of [`encode_headers`]; an empty list has no headers.
pub fn decode_headers(list: &[u8]) -> Vec<OutputHeader> {
    if list.is_empty() {
        return Vec::new();
    }
    list.split(|byte| *byte == b'&')
        .map(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(parts.next().unwrap_or_default()).into_boxed_slice();
            (name, parts.next().map(|value| decode(value).into_boxed_slice()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8], keep: Keep) -> String {
        let mut into = Vec::new();
        encode(bytes, keep, &mut into);
        String::from_utf8(into).unwrap()
    }

    #[test]
    fn every_byte_survives_both_ways() {
        let all: Vec<u8> = (0..=255).collect();
        for keep in [Keep::Unreserved, Keep::CloudEvents] {
            assert_eq!(decode(encoded(&all, keep).as_bytes()), all);
        }
    }

    #[test]
    fn plain_text_stays_readable() {
        assert_eq!(encoded(b"N14228", Keep::Unreserved), "N14228");
        assert_eq!(encoded("Zürich 7%".as_bytes(), Keep::CloudEvents), "Z%C3%BCrich%207%25");
        assert_eq!(encoded(b"a+b&c=d", Keep::Unreserved), "a%2Bb%26c%3Dd");
    }

    #[test]
    fn a_broken_escape_stands_for_itself() {
        assert_eq!(decode(b"100%"), b"100%");
        assert_eq!(decode(b"%zz%4"), b"%zz%4");
    }

    #[test]
    fn headers_keep_order_repeats_null_and_empty() {
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            vec![(b"a", Some(b"1")), (b"a", Some(b"")), (b"a", None), (b"", Some(b"&=")), (b"\xff", Some(b"\0"))];
        let mut list = Vec::new();
        encode_headers(headers.iter().copied(), &mut list);
        assert_eq!(String::from_utf8(list.clone()).unwrap(), "a=1&a=&a&=%26%3D&%FF=%00");
        let back = decode_headers(&list);
        let back: Vec<_> = back.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        assert_eq!(back, headers);
        assert!(decode_headers(b"").is_empty());
    }
}
