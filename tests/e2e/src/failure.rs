//! Why the harness could not go on, in words for a person.

use std::fmt;

/// A sentence that says what was being done and what went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

/// What the harness answers with.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure in these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Says what was being done when something else failed.
pub trait Context<T> {
    /// `doing` in a word or two: "reading the file".
    fn context(self, doing: impl Into<String>) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl Into<String>) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {error}", doing.into())))
    }
}
