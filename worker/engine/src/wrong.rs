//! Deliberately wrong engines: each variant breaks one rule, and the property tests must notice (worker.md, last
//! paragraph). Outside of this crate's own tests nothing is ever wrong, and the compiler removes every question.

/// A rule to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Commits past records that are not done.
    CommitTheMaximum,
    /// Takes an answer of an earlier assignment for one of the present.
    SkipTheEpochCheck,
    /// Counts a record as done when its dead letter is handed to the producer.
    CommitBeforeDeadLetter,
    /// Answers a revoke that a later assignment has overtaken.
    StaleUnassign,
    /// Charges every record that was in flight when a connection broke.
    ChargeTheNeighbours,
    /// Charges every record of a batch that failed.
    ChargeTheBatch,
    /// Believes answers for records behind a failed one of their lane.
    BelieveAnswersAfterAFailure,
    /// Sends a failed commit once more after a newer one.
    LowerCommitAfterHigher,
    /// Pairs the newest checkpoint with the offset before.
    CheckpointNewerThanOffset,
    /// Begins one record after the committed offset.
    SkipOneOnResume,
    /// Never takes a slot back from a cancelled call.
    LeakSlotOnCancel,
    /// Forgets which keys still run when a partition goes.
    LaneForgottenOnGiveBack,
    /// Begins counting attempts anew after a rebalance.
    AttemptsLostOnRebalance,
    /// Calls the processor again when its output could not be written.
    OutputByRunningAgain,
    /// Believes an output behind one of its lane that could not be written.
    OutputOvertakes,
    /// Counts a record as done before the outputs before it in its lane are written.
    DoneOutOfTurn,
    /// Charges an attempt for an outage.
    OutageCharges,
    /// Lets all null keys share one lane.
    NullKeysShareALane,
    /// Starts as usual while the circuit is open.
    CircuitIgnored,
    /// Dead-letters whatever fails, however much it is.
    FuseIgnored,
    /// Starts as usual while nobody acknowledges its commits.
    FenceIgnored,
    /// Starts as usual while it has nothing to commit, however long nobody was heard of.
    FenceOnlyTheUnanswered,
    /// Charges records for calls that the worker slept through.
    ChargeForSleep,
    /// Counts a record as done when it is handed to the producer for a delay topic.
    CommitBeforeDelayed,
    /// Begins counting attempts anew with a record from a delay topic.
    AttemptsLostInDelay,
    /// Starts records of a delay topic as they come.
    StartedBeforeDue,
    /// Opens the lane while a retry waits.
    RetryOvertakesItsKey,
    /// Calls the processor with a record whose key is parked.
    FollowerOvertakesParkedKey,
    /// Takes a key for whole when the first of its dead letters has come back.
    ParkingEndsAtFirstLetter,
    /// Does not read which keys its predecessor had parked.
    ParkedKeysLostOnRebalance,
    /// Has records answered at once although others of their partition are left.
    AtOnceBesideOthers,
    /// Takes a dead letter of an earlier assignment for one of the present, where the key is not parked.
    LateLetterCounts,
}
