//! A decision in plain sentences, for `kubectl describe`.

use crate::Decision;

impl Decision {
    /// One or two plain sentences with the numbers that decided. The same decision gives the same bytes.
    pub fn explain(&self) -> String {
        self.reason.sentence().to_owned()
    }
}
