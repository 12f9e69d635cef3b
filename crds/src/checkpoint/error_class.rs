//! Why a record failed, as a bounded set: one byte in the checkpoint, one label value in metrics.

/// Why a call did not succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// A class of a newer worker.
    #[default]
    Unknown,
    /// The processor asked to retry.
    Retry,
    /// The processor refused the record for good.
    Rejected,
    /// No answer before `delivery.timeout`.
    Timeout,
    /// The processor answered with an error of its own (5xx).
    ServerError,
    /// The processor answered with something that is no answer.
    BadResponse,
    /// The connection broke before the answer.
    ConnectionLost,
    /// The processor is busy (429, 503).
    Overload,
    /// No connection to the processor: refused, DNS, TLS.
    Unreachable,
    /// The processor answers as if it were not the processor: 3xx, 401, 403, 404, 405.
    Misconfigured,
    /// A batch's answer left the record out.
    Missing,
    /// The answer could not be written to the output topic and never will be.
    OutputRefused,
    /// The record could not be written to the dead-letter or delay topic.
    ForwardFailed,
    /// Not tried: an earlier record of its key is among the dead letters (`onExhausted: ParkKey`).
    Parked,
}

impl ErrorClass {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 14] = [
        Self::Unknown,
        Self::Retry,
        Self::Rejected,
        Self::Timeout,
        Self::ServerError,
        Self::BadResponse,
        Self::ConnectionLost,
        Self::Overload,
        Self::Unreachable,
        Self::Misconfigured,
        Self::Missing,
        Self::OutputRefused,
        Self::ForwardFailed,
        Self::Parked,
    ];

    /// The name that metrics, status and dead-letter headers show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Retry => "Retry",
            Self::Rejected => "Rejected",
            Self::Timeout => "Timeout",
            Self::ServerError => "ServerError",
            Self::BadResponse => "BadResponse",
            Self::ConnectionLost => "ConnectionLost",
            Self::Overload => "Overload",
            Self::Unreachable => "Unreachable",
            Self::Misconfigured => "Misconfigured",
            Self::Missing => "Missing",
            Self::OutputRefused => "OutputRefused",
            Self::ForwardFailed => "ForwardFailed",
            Self::Parked => "Parked",
        }
    }

    /// Its code on the wire, below 32.
    pub(super) const fn code(self) -> u8 {
        self as u8
    }

    /// The class of a code; what this reader does not know is `Unknown`.
    pub(super) fn of(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or_default()
    }
}

impl core::fmt::Display for ErrorClass {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
