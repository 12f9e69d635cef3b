//! What is written on a connection.

use crate::history::Answer;

/// What is written, and whether the connection goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    Close,
    Reset,
}

impl Reply {
    pub(super) fn status(code: u16, headers: &str, body: &str) -> Self {
        let text = format!("HTTP/1.1 {code} Whatever\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
        Self { bytes: text.into_bytes(), then: Then::GoOn }
    }

    /// 204 has no body, and says nothing of its length.
    pub(super) fn no_content() -> Self {
        Self { bytes: b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), then: Then::GoOn }
    }

    pub(super) fn busy() -> Self {
        Self::status(503, "retry-after: 0\r\n", "")
    }

    pub(super) fn garbage() -> Self {
        Self { bytes: b"\0\xffthis is no HTTP\r\n\r\n".to_vec(), then: Then::Close }
    }

    pub(super) fn broken() -> Self {
        Self { bytes: Vec::new(), then: Then::Reset }
    }

    pub(super) fn broken_within() -> Self {
        Self { bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec(), then: Then::Close }
    }

    /// A refusal by status, or by verdict where that is 200.
    pub(super) fn refusal(code: u16) -> (Answer, Self) {
        let reply = match code {
            200 => Self::status(200, "penstock-verdict: reject\r\n", ""),
            code => Self::status(code, "penstock-reason: no%20such thing\r\n", "no"),
        };
        (Answer::Reject, reply)
    }
}
