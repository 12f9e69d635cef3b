//! The checker can fail: small histories with one thing wrong each, and the same without it.

use penstock_crds::checkpoint::{Checkpoint, ErrorClass, Place, encode};

use super::check;
use crate::history::{Answer, Commit, Disturbance, History, Log, Metrics, OnExhausted, Record, Tp, Worker};

mod batches;
mod charges;
mod excuses;
mod story;

use story::{ACK, BEGIN, Story, TP, at, done, failing, owned};

#[test]
fn a_clean_history_holds() {
    Story::of(&[1, 2, 0, 1]).rest(0, 0).holds();
}

#[test]
fn s1_a_record_that_was_never_done() {
    Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).commit(1, 10).breaks("S1");
}

#[test]
fn s1_a_dead_letter_that_is_not_there() {
    let story = || Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject);
    story().letter(0, 8).commit(1, 10).holds();
    story().breaks("S1");
}

#[test]
fn s1_a_dead_letter_that_went_with_its_topic() {
    let story = |deleted| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject);
        story.with(|history| history.injected.letters_deleted.push(at(deleted)))
    };
    story(20).holds();
    story(2).breaks("S1");
}

#[test]
fn s2_a_commit_ahead_of_an_unfinished_record() {
    Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).commit(2, 10).call(1, 1, 11, 15, ACK).breaks("S2");
}

#[test]
fn s2_a_commit_behind_the_end_of_the_log() {
    Story::of(&[1]).call(0, 1, 0, 5, ACK).commit(2, 10).breaks("S2");
}

#[test]
fn s2_a_failure_is_no_end() {
    Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed).commit(1, 10).call(0, 2, 11, 15, ACK).breaks("S2");
}

#[test]
fn s2_a_call_that_charged_nothing_is_no_end() {
    // The last attempt's number, and a connection that another record broke: the owner calls again, so it had not given up.
    let story = || Story::of(&[1]).call(0, 3, 0, 5, Answer::Caught);
    story().commit(1, 10).call(0, 3, 11, 15, ACK).breaks("S2");
    story().call(0, 3, 11, 15, ACK).commit(1, 20).holds();
    // Nor had it for the next owner, which was told so by a worker that nothing disturbed.
    let next = || Story::of(&[1]).call(0, 3, 0, 5, Answer::Gone).call_by((1, 2), 0, 3, (11, 15), ACK);
    let owner = |owner| Checkpoint { owner, ..Checkpoint::default() };
    next().commit_with(1, 20, &owner(2)).holds();
    next().commit_with(1, 10, &owner(1)).commit_with(1, 20, &owner(2)).breaks("S2");
}

#[test]
fn s2_what_blocks_is_never_passed() {
    let story = |refused| {
        let story =
            Story::of(&[1]).call(0, 1, 0, 5, refused).with(|history| history.rules.on_exhausted = OnExhausted::Block);
        story.call(0, 2, 20, 25, ACK)
    };
    for refused in [Answer::Reject, Answer::Failed] {
        story(refused).commit(1, 30).holds();
        story(refused).commit(1, 10).breaks("S2");
    }
}

#[test]
fn s3_a_commit_that_goes_back() {
    let story = || Story::of(&[1, 2]).rest(0, 0).commit(1, 10_001);
    story().breaks("S3");
    // A commit that was given up while a broker was away is taken late, and put right.
    let broker = |story: Story| {
        let fault = Disturbance { worker: None, from: at(8_000), until: at(12_000), what: "broker".to_owned() };
        story.with(|history| history.disturbances.push(fault))
    };
    broker(story().commit(2, 15_000)).holds();
    broker(story()).breaks("S3");
    broker(story().commit(2, 30_000)).breaks("S3");
    // Another owner's is no commit that was given up.
    let next = || Story::of(&[1, 2]).rest(0, 0).commit_with(1, 10_001, &owned(2));
    broker(next().commit_with(2, 15_000, &owned(2))).breaks("S3");
    story().commit(2, 15_000).breaks("S3");
}

#[test]
fn s4_a_dead_letter_after_its_commit() {
    Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject).commit(1, 10).letter(0, 12).breaks("S4");
}

#[test]
fn s4_an_output_after_its_commit() {
    let story = || Story::of(&[1]).call(0, 1, 0, 5, ACK);
    story().output(0, 8).commit(1, 10).holds();
    story().output(0, 12).commit(1, 10).breaks("S4");
}

#[test]
fn s5_a_record_that_overtakes_its_key() {
    let story = |first, next| Story::of(&[first, next]).call(0, 1, 0, 5, Answer::Failed).call(1, 1, 6, 7, ACK);
    story(1, 2).call(0, 2, 50, 55, ACK).commit(2, 60).holds();
    story(1, 1).call(0, 2, 50, 55, ACK).commit(2, 60).breaks("S5");
    story(0, 0).call(0, 2, 50, 55, ACK).commit(2, 60).holds();
}

#[test]
fn s5_an_output_before_that_of_its_keys_last_record() {
    let story = |outputs: [(i64, i64); 2]| {
        let story = Story::of(&[1, 1]).call(0, 1, 0, 5, ACK).call(1, 1, 6, 7, ACK);
        outputs.into_iter().fold(story, |story, (offset, at)| story.output(offset, at)).commit(2, 60)
    };
    story([(0, 8), (1, 9)]).holds();
    story([(0, 9), (1, 8)]).breaks("S5");
}

#[test]
fn s5_two_calls_of_a_key_at_once() {
    let story = || Story::of(&[1]).call(0, 1, 0, 50, Answer::Gone);
    story().call(0, 1, 51, 60, ACK).commit(1, 70).holds();
    story().call(0, 1, 40, 60, ACK).commit(1, 70).breaks("S5");
    // Of two workers, only where one of them lost the partition unasked.
    let two = || {
        story().call_by((1, 2), 0, 1, (40, 60), ACK).commit_with(
            1,
            70,
            &Checkpoint { owner: 2, ..Checkpoint::default() },
        )
    };
    two().breaks("S5");
    two().killed(0, 30).holds();
}

#[test]
fn s6_an_attempt_too_many() {
    let story = || {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed).call(0, 2, 10, 15, Answer::Failed);
        story.call(0, 3, 20, 25, Answer::Failed)
    };
    story().letter(0, 28).commit(1, 30).holds();
    story().call(0, 4, 26, 27, Answer::Failed).letter(0, 28).commit(1, 30).breaks("S6");
}

#[test]
fn s6_what_blocks_is_charged_no_more() {
    let story = |number| {
        let story = Story::of(&[1]).with(|history| history.rules.on_exhausted = OnExhausted::Block);
        let failed = (1..=4).fold(story, |story, attempt| {
            story.call(0, attempt, i64::from(attempt) * 10, i64::from(attempt) * 10 + 5, Answer::Failed)
        });
        failed.call(0, number, 60, 65, ACK).commit(1, 70)
    };
    story(4).holds();
    story(5).breaks("S6");
}

#[test]
fn s6_attempts_that_a_rebalance_forgets() {
    let story = || Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed).call_by((1, 2), 0, 1, (10, 15), ACK);
    let end = |story: Story| story.commit_with(1, 20, &Checkpoint { owner: 2, ..Checkpoint::default() });
    end(story()).breaks("S6");
    end(story()).killed(0, 7).holds();
}

/// Whatever befell the worker that told.
#[test]
fn s6_attempts_that_the_next_owner_had_read() {
    let story = |attempt| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed).killed(0, 20);
        let story = story.commit_with(0, 10, &failing(0, 1, ErrorClass::ServerError)).commit_with(0, 30, &owned(2));
        story.call_by((1, 2), 0, attempt, (40, 45), ACK).commit_with(1, 60, &owned(2))
    };
    story(2).holds();
    story(1).breaks("S6");
}

#[test]
fn s7_a_repetition_without_a_reason() {
    let again = || Story::of(&[1]).call(0, 1, 0, 5, ACK).call_by((1, 2), 0, 1, (6_010, 6_015), ACK);
    let end = |story: Story| story.commit_with(1, 6_020, &Checkpoint { owner: 2, ..Checkpoint::default() });
    end(again()).breaks("S7");
    end(again()).killed(0, 1_000).holds();
    // Six seconds are enough for a commit.
    end(again()).killed(0, 6_000).breaks("S7");
}

/// What needs no output is done when what its key has put out before is written.
#[test]
fn s7_a_record_is_done_in_its_turn() {
    let again = |written: i64| {
        let story = Story::of(&[1, 1]).call(0, 1, 0, 5, ACK).call(1, 1, 6, 8, Answer::Skip).output(0, written);
        let story = story.call_by((1, 2), 1, 1, (6_010, 6_015), Answer::Skip).killed(0, 6_000);
        story.commit_with(2, 6_020, &owned(2))
    };
    again(10).breaks("S7");
    again(5_000).holds();
}

#[test]
fn s7_a_checkpoint_that_the_next_owner_forgets() {
    let again = |checkpoint: &Checkpoint| {
        let story = Story::of(&[1, 2]).call(1, 1, 0, 5, ACK).commit_with(0, 10, checkpoint).killed(0, 20);
        let owner = Checkpoint { owner: 2, ..Checkpoint::default() };
        let story = story.commit_with(0, 30, &owner).call_by((1, 2), 0, 1, (40, 45), ACK);
        story.call_by((1, 2), 1, 1, (50, 55), ACK).commit_with(2, 60, &owner)
    };
    again(&done(1, 1..2)).breaks("S7");
    again(&Checkpoint { owner: 1, ..Checkpoint::default() }).holds();
}

#[test]
fn s7_two_dead_letters_of_one_call() {
    Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject).letter(0, 8).letter(0, 9).commit(1, 10).breaks("S7");
}

#[test]
fn s8_a_checkpoint_that_claims_what_is_not_done() {
    let story = |time| Story::of(&[1, 2]).call(1, 1, 20, 25, ACK).commit_with(0, time, &done(1, 1..2));
    story(30).call(0, 1, 40, 45, ACK).commit(2, 50).holds();
    story(10).call(0, 1, 40, 45, ACK).commit(2, 50).breaks("S8");
}

#[test]
fn s8_a_checkpoint_of_another_log() {
    Story::of(&[1]).rest(0, 0).with(|history| history.topic_ids = vec![8]).breaks("S8");
    Story::of(&[1]).rest(0, 0).with(|history| history.commits[0].metadata.clear()).breaks("S8");
}

#[test]
fn s8_an_offset_without_the_epoch_of_its_record() {
    let epoch = |leader_epoch: i32| {
        Story::of(&[1]).rest(0, 0).with(|history| {
            let commit = &mut history.commits[0];
            let place = Place { cluster_id: "c", topic_id: 7, partition: 0, offset: commit.offset, leader_epoch };
            (commit.leader_epoch, commit.metadata) = (leader_epoch, encode(&owned(1), &place, 4096).text);
        })
    };
    epoch(0).holds();
    epoch(-1).breaks("S8");
}

#[test]
fn s8_a_checkpoint_that_is_too_long_for_the_broker() {
    let story = |metadata_too_large| {
        let metrics = Metrics { metadata_too_large, ..Metrics::default() };
        Story::of(&[1]).rest(0, 0).with(|history| history.workers[0].metrics = Some(metrics))
    };
    story(0).holds();
    story(2).breaks("S8");
}

#[test]
fn s9_bytes_that_changed() {
    Story::of(&[1]).rest(0, 0).with(|history| history.calls[0].digest += 1).breaks("S9");
    let letter = || Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject).letter(0, 8).commit(1, 10);
    letter().with(|history| history.letters[0].digest += 1).breaks("S9");
    letter().with(|history| history.letters[0].timestamp = None).breaks("S9");
    let output = Story::of(&[1]).call(0, 1, 0, 5, ACK).output(0, 8).commit(1, 10);
    output.with(|history| history.outputs[0].digest += 1).breaks("S9");
}

#[test]
fn s9_a_call_of_a_record_that_is_not_there() {
    // What an aborted transaction wrote.
    Story::of(&[1, 2]).rest(0, 0).with(|history| history.logs[0].records.truncate(1)).breaks("S9");
}

#[test]
fn s10_an_old_owner_commits() {
    let owner = |owner| Checkpoint { owner, ..Checkpoint::default() };
    let story = Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).call(1, 1, 6, 9, ACK);
    story.commit_with(1, 10, &owner(2)).commit_with(2, 20, &owner(1)).breaks("S10");
}

#[test]
fn s10_two_workers_are_one_owner() {
    Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).call_by((1, 1), 1, 1, (6, 9), ACK).commit(2, 20).breaks("S10");
}

#[test]
fn s11_an_outage_that_charges() {
    let story = || Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed);
    story().commit_with(0, 10, &failing(0, 1, ErrorClass::ServerError)).call(0, 2, 40, 45, ACK).commit(1, 50).holds();
    story()
        .commit_with(0, 10, &failing(0, 1, ErrorClass::Unreachable))
        .call(0, 2, 40, 45, ACK)
        .commit(1, 50)
        .breaks("S11");
    let letter = Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject).letter(0, 8).commit(1, 10);
    letter.with(|history| "Misconfigured".clone_into(&mut history.letters[0].class)).breaks("S11");
}

#[test]
fn s12_a_record_that_pays_for_its_neighbour() {
    // Caught once in another's trouble: no attempt, and never the last one.
    let story = || Story::of(&[1]).call(0, 1, 0, 5, Answer::Caught);
    story()
        .commit_with(0, 10, &failing(0, 1, ErrorClass::ConnectionLost))
        .call(0, 1, 40, 45, ACK)
        .commit(1, 50)
        .breaks("S12");
    // Two failures of its own, and the third call was cut off by somebody else's crash.
    let story = |third| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed).call(0, 2, 6, 10, Answer::Failed);
        story.call(0, 3, 11, 15, third).letter(0, 18).commit(1, 20)
    };
    story(Answer::Failed).holds();
    story(Answer::Caught).breaks("S12");
}

#[test]
fn l1_what_is_left_after_the_faults() {
    let story = Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).commit(1, 10);
    story.with(|history| history.caught_up = None).breaks("L1");
}

#[test]
fn l2_a_partition_that_stands_still() {
    let story = |pause| {
        Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).commit(1, 10).call(1, 1, pause, pause + 5, ACK).commit(2, pause + 9)
    };
    story(29_000).holds();
    story(45_000).breaks("L2");
}

#[test]
fn l2_where_nothing_is_left_nothing_stands_still() {
    let story = |left: bool| {
        let story = Story::of(&[1, 2, 3]).with(|history| {
            history.logs[0].records[2].timestamp += 45_000;
            history.logs[0].records[1].timestamp += if left { 10 } else { 45_000 };
        });
        let story = story.call(0, 1, 0, 5, ACK).commit(1, 10).call(1, 1, 45_005, 45_010, ACK);
        story.call(2, 1, 45_005, 45_010, ACK).commit(3, 45_020)
    };
    story(false).holds();
    story(true).breaks("L2");
}

#[test]
fn l2_records_that_come_are_no_sign_of_life() {
    let story = |pause| {
        let story = Story::of(&[1, 2, 3, 4]).with(|history| {
            let later = (0..).zip(&mut history.logs[0].records);
            later.for_each(|(place, record)| record.timestamp += 10_000 * place);
        });
        let story = story.call(0, 1, 0, 5, ACK).commit(1, 10);
        (1..4).fold(story, |story, offset| story.call(offset, 1, pause, pause + 5, ACK)).commit(4, pause + 9)
    };
    story(39_000).holds();
    story(41_000).breaks("L2");
}

#[test]
fn l2_a_worker_that_stands_still_excuses_no_more_than_its_session_where_there_are_others() {
    let story = |others: bool, pause| {
        let story = Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).commit(1, 10).lost(1, 0, 40_000).with(|history| {
            if !others {
                history.workers[0].stops.push((at(20), at(50_000)));
            }
        });
        story.call(1, 1, pause, pause + 5, ACK).commit(2, pause + 9)
    };
    story(true, 44_000).holds();
    story(true, 46_000).breaks("L2");
    story(false, 46_000).holds();
}

#[test]
fn l2_a_worker_that_nobody_woke() {
    let story = |times, stops: &[(i64, i64)]| {
        let stops = stops.iter().map(|(from, until)| (at(*from), at(*until))).collect();
        Story::of(&[1]).rest(0, 0).with(|history| {
            let metrics = Metrics { woken_by_cap: times, ..Metrics::default() };
            (history.workers[0].metrics, history.workers[0].stops) = (Some(metrics), stops);
        })
    };
    story(0, &[]).holds();
    story(1, &[]).breaks("L2");
    story(1, &[(20, 30)]).holds();
}

#[test]
fn l2_a_death_excuses_no_more_than_its_mourning() {
    let story = |pause| {
        let story = Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).commit(1, 10).killed(0, 100);
        let owner = Checkpoint { owner: 2, ..Checkpoint::default() };
        story.call_by((1, 2), 1, 1, (pause, pause + 5), ACK).commit_with(2, pause + 9, &owner)
    };
    story(40_000).holds();
    story(48_000).breaks("L2");
}

#[test]
fn l3_workers_that_do_not_end_as_they_should() {
    let story = |change: fn(&mut Worker)| Story::of(&[1]).rest(0, 0).with(|history| change(&mut history.workers[1]));
    story(|worker| worker.ended = Some((at(151_000), Some(0)))).breaks("L3");
    story(|worker| worker.ended = Some((at(90_100), Some(3)))).breaks("L3");
    story(|worker| worker.ended = None).breaks("L3");
    story(|worker| worker.told = None).breaks("L3");
    story(|worker| worker.ended = Some((at(90_100), None))).breaks("L3");
    story(|worker| (worker.started, worker.ended) = (at(89_900), Some((at(90_100), None)))).holds();
}

#[test]
fn l4_a_key_that_holds_up_another() {
    let story = |answer, time| {
        let story = Story::of(&[1, 2]).call(0, 1, 0, 5, answer).call(0, 1, 8_000, 8_005, ACK);
        story.call(1, 1, time, time + 5, ACK).commit(2, 9_000)
    };
    story(Answer::Overload, 20).holds();
    story(Answer::Overload, 8_010).breaks("L4");
    let away = |from| {
        story(Answer::Overload, 8_010).with(|history| history.injected.outages = vec![(at(from), at(from + 500))])
    };
    away(2_000).holds(); // the processor is away: it is not the key that holds
    away(9_000).breaks("L4");
    let refused = |from| {
        let story = story(Answer::Overload, 8_010);
        story.with(|history| history.injected.letters_refused = vec![(at(from), at(from + 500))])
    };
    refused(2_000).holds(); // what the checkpoint has no room for waits for the letter
    refused(9_000).breaks("L4");
}

#[test]
fn l4_who_may_have_been_in_a_crash_unseen_waits_as_a_suspect() {
    let story = |next, down| {
        let story = Story::of(&[1, 2, 3]).call(0, 1, 0, 5, Answer::Overload).call(2, 1, next, next + 5, ACK);
        let story = story.call(0, 1, 8_000, 8_005, ACK).call(1, 1, 8_010, 8_015, ACK).commit(3, 9_000);
        story.with(|history| history.downs.push((0, at(down))))
    };
    story(20, 10).holds();
    story(8_020, 10).breaks("L4"); // nobody went ahead of it: it stood in its place
    story(20, 8_900).breaks("L4");
}

#[test]
fn l4_a_partition_that_changes_hands_is_held_up_by_no_key() {
    let story = |owner| {
        let story = Story::of(&[1, 2]).call(0, 1, 0, 5, Answer::Overload);
        let story = story.call_by((1, owner), 0, 1, (8_000, 8_005), ACK);
        let story = story.call_by((1, owner), 1, 1, (8_010, 8_015), ACK);
        story.commit_with(2, 9_000, &Checkpoint { owner, ..Checkpoint::default() })
    };
    story(2).holds();
    let findings = check(&story(1).0);
    assert!(findings.counts.contains_key("L4"), "{:#?}", findings.violations);
}

#[test]
fn l4_a_window_begins_at_the_first_record_that_is_not_done() {
    let story = |first_done| {
        let keys: Vec<u64> = (1..=260).collect();
        let story = Story::of(&keys).call(0, 1, 0, 5, Answer::Overload).call(0, 1, first_done, first_done + 5, ACK);
        let others = (1..260).filter(|offset| ![240, 250].contains(offset));
        let story = others.fold(story, |story, offset| story.call(offset, 1, 20, 25, ACK));
        let story = story.call(240, 1, 10, 15, Answer::Overload).call(240, 1, 8_000, 8_005, ACK);
        story.call(250, 1, 8_010, 8_015, ACK).commit(260, 9_500)
    };
    story(9_000).holds();
    // What lies between is not done either before the blocker fails: the window begins where that is.
    let near = |story: Story| {
        story.with(|history| {
            history.calls.iter_mut().for_each(|call| {
                if (1..235).contains(&call.offset) {
                    (call.start, call.end) = (at(1), at(2));
                }
            });
        })
    };
    near(story(6)).breaks("L4");
}

#[test]
fn l5_a_worker_that_takes_too_much() {
    Story::of(&[1]).rest(0, 0).with(|history| history.workers[0].memory_peak = (64 + 17) << 20).breaks("L5");
}
