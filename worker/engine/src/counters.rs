//! Totals since the engine began, for metrics. They only rise.

/// What an engine has seen and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records received and not seen before under this assignment.
    pub received: u64,
    /// Records received below the frontier or a second time: ignored.
    pub received_again: u64,
    /// Records that an earlier owner had done above its frontier: not done again.
    pub done_before: u64,
    /// Records, positions and replies of an assignment that is over.
    pub stray: u64,
    /// Calls started.
    pub calls: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Records skipped by the processor's own verdict.
    pub skipped: u64,
    /// Records discarded by `onExhausted: Discard`.
    pub discarded: u64,
    /// Records whose dead letter is confirmed.
    pub dead_lettered: u64,
    /// Records that wait in a delay topic, confirmed.
    pub delayed: u64,
    /// Records sent to the dead letters untried, because their key is parked and it was not their turn.
    pub parked_after: u64,
    /// Records that came back from the dead letters a second time: passed over.
    pub redriven_again: u64,
    /// Parked keys of which all dead letters have come back.
    pub parkings_ended: u64,
    /// Failures that the fuse kept from ending in a dead letter: their records are tried again.
    pub dead_letters_spared: u64,
    /// Records whose output is confirmed.
    pub forwarded_output: u64,
    /// Writes to other topics that failed and were repeated.
    pub forward_failures: u64,
    /// Attempts charged.
    pub attempts_charged: u64,
    /// Calls cancelled at `delivery.timeout`.
    pub timeouts: u64,
    /// Answers that asked to back off (429, 503).
    pub overloads: u64,
    /// Answers that speak of an outage or a wrong configuration.
    pub outages: u64,
    /// Records that were in flight when a connection broke, or in a batch that failed as a whole.
    pub suspects: u64,
    /// Acknowledgements of an earlier assignment that counted for the present one.
    pub late_acknowledgements: u64,
    /// Answers of an earlier assignment that did not count.
    pub late_answers_dropped: u64,
    /// Commits acknowledged.
    pub commits: u64,
    /// Commits that failed or got no reply in time.
    pub commit_failures: u64,
    /// Checkpoints that had to leave out done records.
    pub checkpoints_cut: u64,
    /// Parked keys that did not fit a checkpoint.
    pub parked_left_out: u64,
    /// Failing records whose attempts did not fit a checkpoint.
    pub attempts_left_out: u64,
    /// Metadata found beside an offset that was not a checkpoint for it.
    pub checkpoints_rejected: u64,
    /// Starts put off because the checkpoint had no room for what they could add.
    pub starts_deferred: u64,
    /// Times that a partition was fenced: no commit acknowledged for half a session, or a long sleep.
    pub fenced: u64,
    /// Offsets that were gone before they could be read.
    pub offsets_lost: u64,
}
