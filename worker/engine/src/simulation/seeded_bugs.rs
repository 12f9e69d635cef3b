//! Every deliberately wrong engine is caught, by the invariant that it breaks.

use super::properties::run;
use crate::wrong::Wrong;

/// Schedules that a bug may survive before we call it uncaught.
const PATIENCE: u64 = 20_000;

fn caught_by(wrong: Wrong) -> &'static str {
    for seed in 0..PATIENCE {
        if let (Err(violation), _) = run(seed, Some(wrong), false) {
            println!("{wrong:?}: {} after {} schedules: {}", violation.rule, seed + 1, violation.detail);
            return violation.rule;
        }
    }
    panic!("{wrong:?} survived {PATIENCE} schedules");
}

macro_rules! seeded_bugs {
    ($($name:ident: $wrong:ident => $($rule:literal)|+;)+) => { $(
        #[test]
        fn $name() {
            let rule = caught_by(Wrong::$wrong);
            assert!([$($rule),+].contains(&rule), "caught by {rule}");
        }
    )+ };
}

seeded_bugs! {
    commit_the_maximum: CommitTheMaximum => "S2";
    skip_the_epoch_check: SkipTheEpochCheck => "S2" | "S5" | "S7" | "S8";
    commit_before_the_dead_letter_is_confirmed: CommitBeforeDeadLetter => "S2" | "S8";
    commit_before_the_delayed_record_is_confirmed: CommitBeforeDelayed => "S2" | "S8";
    attempts_lost_in_a_delay_topic: AttemptsLostInDelay => "S6";
    started_before_due: StartedBeforeDue => "due";
    // Where keys are parked, letters that nobody reads any more show first.
    stale_unassign: StaleUnassign => "L1" | "S1";
    charge_the_neighbours: ChargeTheNeighbours => "S12" | "S6" | "S2";
    charge_the_whole_batch: ChargeTheBatch => "S12" | "S6" | "S2";
    believe_answers_after_a_failure: BelieveAnswersAfterAFailure => "S2" | "S5" | "S8";
    a_lower_commit_after_a_higher: LowerCommitAfterHigher => "S3" | "S7";
    a_checkpoint_newer_than_its_offset: CheckpointNewerThanOffset => "S8";
    skip_one_on_resume: SkipOneOnResume => "S2";
    leak_a_slot_on_cancel: LeakSlotOnCancel => "L1" | "L4";
    a_lane_forgotten_on_give_back: LaneForgottenOnGiveBack => "S5";
    attempts_lost_on_rebalance: AttemptsLostOnRebalance => "S6";
    output_by_running_the_handler_again: OutputByRunningAgain => "S7";
    an_output_that_overtakes_one_that_failed: OutputOvertakes => "S5";
    a_record_that_is_done_out_of_turn: DoneOutOfTurn => "S5";
    an_outage_that_charges: OutageCharges => "S12" | "S6";
    an_open_circuit_that_starts_as_usual: CircuitIgnored => "S11";
    a_fuse_that_never_blows: FuseIgnored => "fuse";
    a_fence_that_holds_nothing: FenceIgnored => "fence";
    a_fence_that_holds_only_what_is_unanswered: FenceOnlyTheUnanswered => "fence";
    charge_for_what_was_slept_through: ChargeForSleep => "S12" | "S6";
    null_keys_share_a_lane: NullKeysShareALane => "L4" | "S7";
    a_retry_that_overtakes_its_key: RetryOvertakesItsKey => "S5";
    a_follower_that_overtakes_its_parked_key: FollowerOvertakesParkedKey => "S5";
    a_parking_that_ends_at_its_first_letter: ParkingEndsAtFirstLetter => "S5";
    parked_keys_lost_on_rebalance: ParkedKeysLostOnRebalance => "S5";
    answers_at_once_beside_others: AtOnceBesideOthers => "S5" | "S7" | "S2" | "S8";
    a_late_letter_that_counts: LateLetterCounts => "S2" | "S5" | "S8" | "S7" | "L1";
}
