//! What a handler says of a record.

use std::fmt;
use std::time::Duration;

use penstock_engine::seam::{self, ErrorClass, Failure, Outcome, OutputRecord};

use super::Raw;

/// Done, or why not.
pub type Answer = Result<Done, Failed>;

/// The record is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Handled.
    Ack,
    /// Left out on purpose: counted apart.
    Skip,
    /// Handled; these go to `spec.output.topic`, in their order, before the offset moves. Without an output topic they are
    /// dropped.
    Output(Vec<Output>),
}

/// A record for the output topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    key: Key,
    value: Option<Box<[u8]>>,
    headers: Vec<seam::OutputHeader>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Key {
    /// That of the record that is answered.
    #[default]
    Kept,
    /// Another; `None` is null.
    Other(Option<Box<[u8]>>),
}

/// The record is not done. Any error becomes one by `?`, and means "try again".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    verdict: Verdict,
    reason: String,
    after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Retry,
    Reject,
    Overload,
    Unavailable,
}

impl Output {
    /// A record with this value, the key of the record that is answered, and no headers.
    pub fn value(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into().into_boxed_slice()), ..Self::default() }
    }

    /// A record with a null value.
    pub fn tombstone() -> Self {
        Self::default()
    }

    /// Another key; `None` is null.
    #[must_use]
    pub fn key<K: Into<Vec<u8>>>(mut self, key: Option<K>) -> Self {
        self.key = Key::Other(key.map(|key| key.into().into_boxed_slice()));
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.as_bytes().into(), Some(value.into().into_boxed_slice())));
        self
    }

    fn record(self, raw: &Raw) -> OutputRecord {
        let key = match self.key {
            Key::Kept => raw.key().map(Box::from),
            Key::Other(key) => key,
        };
        OutputRecord { key, value: self.value, headers: self.headers }
    }
}

impl Failed {
    /// Try again, after a pause. It costs an attempt.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self::new(Verdict::Retry, &reason)
    }

    /// Never try again: the record goes the way of `delivery.onExhausted` at once.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self::new(Verdict::Reject, &reason)
    }

    /// Too much at once: fewer calls for a while, and no attempt is charged.
    pub fn overload(reason: impl fmt::Display) -> Self {
        Self::new(Verdict::Overload, &reason)
    }

    /// What the handler depends on is down: once three keys say so, records wait and one is tried now and then. No attempt is charged.
    pub fn unavailable(reason: impl fmt::Display) -> Self {
        Self::new(Verdict::Unavailable, &reason)
    }

    /// Not before this time has passed, at most `delivery.retry.maxDelay`.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }

    /// Why. It goes into dead letters and status.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn new(verdict: Verdict, reason: &dyn fmt::Display) -> Self {
        Self { verdict, reason: reason.to_string(), after: None }
    }

    /// `whole`: the verdict is on a batch, not on this record.
    pub(crate) fn outcome(&self, whole: bool) -> Outcome {
        let failure = |class| {
            let failure = Failure::new(class, &self.reason);
            match self.after {
                Some(wait) => failure.after(wait),
                None => failure,
            }
        };
        match self.verdict {
            Verdict::Retry | Verdict::Reject if whole => Outcome::BatchFailed(failure(ErrorClass::Retry)),
            Verdict::Retry => Outcome::Retry(failure(ErrorClass::Retry)),
            Verdict::Reject => Outcome::Reject(failure(ErrorClass::Rejected)),
            Verdict::Overload => Outcome::Overload(failure(ErrorClass::Overload)),
            Verdict::Unavailable => Outcome::Unavailable(failure(ErrorClass::Unreachable)),
        }
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// In the engine's words. `output`: whether there is a topic for answers.
pub(crate) fn outcome(answer: Answer, raw: &Raw, output: bool) -> Outcome {
    match answer {
        Ok(Done::Output(outputs)) if output && !outputs.is_empty() => {
            let records = outputs.into_iter().map(|output| output.record(raw)).collect();
            Outcome::AckWith(Box::new(seam::Output { records }))
        }
        answer => without_output(answer),
    }
}

/// The same where nothing is put out.
pub(crate) fn without_output(answer: Answer) -> Outcome {
    match answer {
        Ok(Done::Ack | Done::Output(_)) => Outcome::Ack,
        Ok(Done::Skip) => Outcome::Skip,
        Err(failed) => failed.outcome(false),
    }
}
