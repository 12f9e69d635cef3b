//! `traceparent` (W3C Trace Context, level 1): `00-<trace id>-<span id>-<flags>`, all in lower-case hexadecimal.

use std::fmt::{self, Write as _};

/// The header's name.
pub(in crate::processor) const TRACEPARENT: &str = "traceparent";
/// The only flag that level 1 knows.
const SAMPLED: u8 = 1;

/// Which trace, and which span of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) sampled: bool,
}

impl Context {
    /// Reads a header; none if it is not valid. Later versions may go on behind the flags.
    pub(super) fn of(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok()?;
        let mut parts = text.split('-');
        let version = bytes::<1>(parts.next()?)?;
        let (trace, span) = (bytes::<16>(parts.next()?)?, bytes::<8>(parts.next()?)?);
        let [flags] = bytes::<1>(parts.next()?)?;
        let longer = parts.next().is_some();
        let valid = version != [0xff] && (version != [0] || !longer) && trace != [0; 16] && span != [0; 8];
        valid.then_some(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", hex(&self.trace), hex(&self.span), u8::from(self.sampled))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() != 2 * N || !lower {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_written() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = Context::of(text.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!(context.to_string(), text);
        assert!(!Context::of(text.replace("-01", "-00").as_bytes()).unwrap().sampled);
        assert!(Context::of(format!("cc{}-more", &text[2..]).as_bytes()).is_some(), "a later version");
    }

    #[test]
    fn what_is_not_valid_is_none() {
        for text in [
            "",
            "00-1",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert_eq!(Context::of(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Context::of(b"\xff"), None);
    }
}
