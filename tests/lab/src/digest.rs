//! SHA-256 in hexadecimal: names of images, of cache items and of cgroups.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The digest of some bytes, 64 digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
