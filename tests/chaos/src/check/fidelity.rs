//! S9: bytes are kept. S11: an outage makes no dead letters.

use super::Findings;
use super::facts::{Facts, PartitionFacts};
use crate::rng::hashed;

/// What the recording processor answers to a record, as a number.
pub fn output_body(digest: u64) -> u64 {
    hashed(&[digest, 0x6f75_7470_7574])
}

/// An output as its reader sees it: the number in its value, and its key.
pub fn output_digest(body: u64, key: Option<u64>) -> u64 {
    hashed(&[body, u64::from(key.is_some()), key.unwrap_or_default()])
}

pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let number = partition.tp;
    for record in &partition.records {
        let digest = record.record.digest;
        if record.calls.iter().any(|call| call.digest != digest) {
            findings.add("S9", || format!("partition {number}: a call had other bytes: {}", record.story()));
        }
        if record.letters.iter().any(|letter| letter.digest != digest) {
            findings.add("S9", || format!("partition {number}: a dead letter has other bytes: {}", record.story()));
        }
        let expected = output_digest(output_body(digest), record.record.key);
        if record.outputs.iter().any(|output| output.digest != expected) {
            findings
                .add("S9", || format!("partition {number}: an output is not what was answered: {}", record.story()));
        }
        let own = number.partition;
        if let Some(letter) = record.letters.iter().find(|letter| letter.landed != own && facts.letters_fit(own)) {
            let landed = letter.landed;
            findings.add("S9", || {
                format!("partition {number}: a dead letter lies in partition {landed}: {}", record.story())
            });
        }
        let timestamp = Some(record.record.timestamp);
        if record.letters.iter().any(|letter| letter.timestamp != timestamp) {
            findings.add("S9", || format!("partition {number}: a dead letter has another time: {}", record.story()));
        }
        for letter in &record.letters {
            if matches!(letter.class.as_str(), "Unreachable" | "Misconfigured") {
                let class = &letter.class;
                findings.add("S11", || format!("partition {number}: dead letter because {class}: {}", record.story()));
            }
        }
    }
}

/// What belongs to no record: aborted ones that were called, or dead letters with a wrong origin.
pub(super) fn check_strays(facts: &Facts<'_>, findings: &mut Findings) {
    for stray in &facts.strays {
        findings.add("S9", || stray.clone());
    }
}

impl Facts<'_> {
    /// Whether the dead-letter topic has that partition. One that was deleted may have had fewer when it was made anew, and a worker goes
    /// by what it had: then it has what something lies in or above.
    fn letters_fit(&self, partition: i32) -> bool {
        let history = self.history;
        if history.injected.letters_deleted.is_empty() {
            return partition < history.letter_partitions;
        }
        history.letters.iter().any(|letter| letter.landed >= partition)
    }
}
