//! Short hashes that say whether something is still the same.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use sha2::{Digest as _, Sha256};

/// The first 64 bits of SHA-256, as 16 hexadecimal digits. Nobody gains anything from a collision with themselves, so that is enough.
pub(crate) fn short(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Of a pod template as JSON, whose maps are sorted.
pub(crate) fn of_template(template: &PodTemplateSpec) -> String {
    #[expect(
        clippy::expect_used,
        reason = "strings, numbers and maps with string keys: there is nothing JSON cannot hold"
    )]
    short(&serde_json::to_vec(template).expect("a pod template is JSON"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn sixteen_digits_of_sha_256() {
        assert_eq!(super::short(b"abc"), "ba7816bf8f01cfea");
    }
}
