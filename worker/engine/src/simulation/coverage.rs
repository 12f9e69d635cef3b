//! Which states the schedules reached. A property that was never in danger proves nothing.

/// A state worth reaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    HoleInTheLog,
    MarkerAtTheEnd,
    Crash,
    ReleasedInOrder,
    DrainDeadline,
    Loss,
    LossWhileDraining,
    ReturnWhileRunning,
    LateAckCounted,
    LateFailureDropped,
    DoneBeforeSkipped,
    AttemptsRestored,
    CommitLostButStored,
    CommitUnknownNotStored,
    CommitNotOwner,
    MetadataTooLarge,
    StartDeferred,
    DeadLetter,
    AgedOut,
    DeadLetterRefused,
    ForwardRepeated,
    OutputRefused,
    OutputsInARow,
    OutputBeforeItsTurn,
    CallOverlapsWrites,
    DoneInTurn,
    OutputRecalled,
    ProducerRebuilt,
    RefusedInCompany,
    Timeout,
    CancelRacedWithAck,
    Overload,
    Outage,
    ConnectionLostInCompany,
    ConnectionLostAlone,
    FetchFailed,
    Pause,
    Shutdown,
    NullKeysSideBySide,
    KeysSideBySide,
    MetadataOnlyCommit,
    LowMetadata,
    CircuitOpen,
    CircuitClosed,
    FuseBlown,
    FuseHealed,
    Fenced,
    LimitLowered,
    Batch,
    BatchFailed,
    BatchBroken,
    ItemMissing,
    AnswerBehindAFailure,
    OffsetLost,
    ReceivedAndGone,
    Delayed,
    DelayedAgain,
    DelayedTwice,
    DelayedOnCrash,
    DelayRefused,
    DelayedDeadLetter,
    NotDue,
    KeyParked,
    ParkedAfter,
    PutBack,
    LetterFailedAgain,
    ParkedRestored,
    ParkedKeysFull,
    ParkingEnded,
    RedrivenAgain,
    MetadataLimitTold,
    MetadataLimitLowered,
    MetadataLimitRaised,
    MetadataLimitToldLate,
    AtOnce,
    AtOnceFailed,
    AtOnceInPart,
    End,
}

/// How many schedules reached what.
#[derive(Clone, Debug)]
pub(super) struct Coverage {
    counts: [u64; Reached::End as usize],
}

impl Coverage {
    pub(super) fn new() -> Self {
        Self { counts: [0; Reached::End as usize] }
    }

    pub(super) fn reach(&mut self, state: Reached) {
        self.counts[state as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += u64::from(more > 0);
        }
    }

    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }
}
