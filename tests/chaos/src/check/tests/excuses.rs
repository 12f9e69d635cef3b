//! The same for what excuses what.

use std::time::Duration;

use super::story::{ACK, Story, at, owned};
use crate::history::{Answer, Disturbance, Late, explained};

/// Worker 0 as owner 1 and worker 1 as owner 2, one after the other.
const ONE: (u32, u64) = (0, 1);
const OTHER: (u32, u64) = (1, 2);

#[test]
fn s7_a_machine_that_is_late_forgets_nothing() {
    let story = || Story::of(&[1]).call(0, 1, 0, 5, ACK).call_by(OTHER, 0, 1, (4_000, 4_005), ACK);
    let story = || story().commit_with(1, 4_010, &owned(2));
    story().late(2_500, 3_500).breaks("S7");
    // It stood still for as long as a session: that takes partitions.
    story().late(2_500, 8_000).holds();
}

#[test]
fn s7_a_commit_may_be_as_late_as_the_machine() {
    let story = || Story::of(&[1]).call(0, 1, 0, 5, ACK).call_by(OTHER, 0, 1, (6_010, 6_015), ACK);
    let story = || story().commit_with(1, 6_020, &owned(2)).killed(0, 5_500);
    story().breaks("S7");
    story().late(2_500, 4_500).holds();
    story().late(2_500, 3_500).breaks("S7");
}

#[test]
fn s6_a_machine_that_is_late_forgets_no_attempt() {
    let story = |attempt| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed).late(2_500, 3_500);
        story.call_by(OTHER, 0, attempt, (4_100, 4_105), ACK).commit_with(1, 4_110, &owned(2))
    };
    story(2).holds();
    story(1).breaks_also("S6");
    // It was so late that the worker may have hung up before it had the answer.
    let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed).late(0, 1_500);
    story.call(0, 1, 2_000, 2_005, ACK).commit(1, 2_010).holds();
}

#[test]
fn s5_a_machine_that_is_late_puts_no_two_into_a_lane() {
    let story = || Story::of(&[1]).call(0, 1, 0, 50, Answer::Gone).call_by(OTHER, 0, 1, (40, 60), ACK);
    let story = || story().commit_with(1, 70, &owned(2));
    story().late(0, 1_000).breaks("S5");
    story().lost(0, 0, 1_000).holds();
}

#[test]
fn only_a_machine_that_stood_still_explains_a_loss() {
    let loss = || vec![Disturbance { worker: Some(0), from: at(0), until: at(8_000), what: String::new() }];
    let because = |until| explained(loss(), &Late::of(vec![(at(0), at(until))]).standstills().collect::<Vec<_>>());
    assert_eq!(because(1_000), []);
    assert_eq!(because(5_500), loss());
}

#[test]
fn l2_a_standstill_is_excused_for_as_long_as_the_machine_was_late() {
    let story = |pause, late: i64| {
        let story = Story::of(&[1, 2]).call(0, 1, 0, 5, ACK).commit(1, 10).late(20_000, 20_000 + late);
        story.call(1, 1, pause, pause + 5, ACK).commit(2, pause + 9)
    };
    story(31_000, 2_000).holds();
    story(33_000, 2_000).breaks("L2");
}

#[test]
fn l3_an_end_may_be_as_late_as_the_machine() {
    let story = |late: i64| {
        let story = Story::of(&[1]).rest(0, 0).late(100_000, 100_000 + late);
        story.with(|history| history.workers[1].ended = Some((at(151_500), Some(0))))
    };
    story(2_000).holds();
    story(1_000).breaks("L3");
}

/// Chaos seed 9306.
#[test]
fn l3_a_request_that_a_late_machine_left_unanswered_may_cut_the_end_short() {
    let story = |late: i64| {
        let story = Story::of(&[1]).rest(0, 0).late(late, late + 1_500);
        story.with(|history| history.workers[1].ended = Some((at(90_100), Some(3))))
    };
    story(80_000).holds();
    story(50_000).breaks("L3");
}

#[test]
fn s7_with_the_classic_protocol_commits_wait_for_a_dead_member() {
    let story = |joins_wait: Option<Duration>, other: i64| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, ACK).killed(1, other).killed(0, 6_000);
        let story = story.call_by((2, 2), 0, 1, (9_000, 9_005), ACK).commit_with(1, 9_010, &owned(2));
        story.with(|history| {
            history.workers.push(history.workers[1].clone());
            history.rules.joins_wait = joins_wait;
        })
    };
    let session = Some(Duration::from_secs(6));
    story(session, 3_000).holds();
    story(session, 5_500).breaks("S7");
    story(None, 3_000).breaks("S7");
    let two = |other: i64| {
        story(session, other).with(|history| history.workers.push(history.workers[1].clone())).killed(3, other)
    };
    two(3_000).holds();
    two(4_500).breaks("S7"); // waited for once, not twice
}

#[test]
fn s7_a_repetition_that_had_a_reason_excuses_no_other() {
    let story = |killed: Option<i64>| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, ACK).killed(0, 100);
        let story = story.call_by(OTHER, 0, 1, (200, 205), ACK).call_by((2, 3), 0, 1, (9_000, 9_005), ACK);
        let story = story.with(|history| history.workers.push(history.workers[1].clone()));
        let story = story.commit_with(1, 9_010, &owned(3));
        killed.into_iter().fold(story, |story, time| story.killed(1, time))
    };
    story(Some(300)).holds();
    story(None).breaks("S7");
    story(Some(8_000)).breaks("S7");
}

/// Chaos seed 12105.
#[test]
fn s7_an_output_that_is_written_when_the_drain_is_over_may_be_written_again() {
    let story = |written: i64, again: i64| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, ACK).output(0, written);
        story.call_by(OTHER, 0, 1, (again, again + 5), ACK).output(0, again + 8).commit_with(1, again + 10, &owned(2))
    };
    story(2_010, 2_900).holds();
    story(2_010, 3_100).breaks("S7");
    story(1_900, 2_800).breaks("S7");
}

/// Chaos seeds 8311, and 21 with its six calls 25 ms after it was woken.
#[test]
fn s7_a_worker_that_was_stopped_in_the_middle_of_a_call_may_still_make_it() {
    let story = |called: i64| {
        let story = Story::of(&[1]).call_by(OTHER, 0, 1, (7_000, 7_005), ACK).commit_with(1, 7_010, &owned(2));
        let story = story.call(0, 1, called, called + 5, ACK);
        story.with(|history| history.workers[0].stops.push((at(500), at(9_000))))
    };
    story(9_002).holds();
    story(9_100).holds();
    story(9_101).breaks("S7");
    story(8_990).breaks("S7");
    story(9_002).with(|history| history.workers[0].stops[0].0 = at(7_020)).breaks("S7");
}

#[test]
fn s7_a_dead_letter_that_comes_late_is_its_last_call_s() {
    // The first owner could not write it; the second one did, and was killed before it could tell.
    let story = |killed: Option<i64>| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject).call_by(OTHER, 0, 1, (200, 205), Answer::Reject);
        let story = story.letter(0, 210).call_by((2, 3), 0, 1, (9_000, 9_005), Answer::Reject).letter(0, 9_008);
        let story = story.with(|history| history.workers.push(history.workers[1].clone()));
        let story = story.commit_with(1, 9_010, &owned(3));
        killed.into_iter().fold(story, |story, time| story.killed(1, time))
    };
    story(Some(300)).holds();
    story(None).breaks("S7");
}

/// A record that was refused twice, the first time by a worker that was killed then, and its dead letters.
fn refused_twice(letters: &[i64]) -> Story {
    let story = Story::of(&[1]).call_by(ONE, 0, 1, (0, 5), Answer::Reject).killed(0, 2_500);
    let story = story.call_by(OTHER, 0, 1, (3_000, 3_005), Answer::Reject);
    letters.iter().fold(story, |story, time| story.letter(0, *time)).commit_with(1, 12_000, &owned(2))
}

#[test]
fn s7_a_kill_excuses_one_dead_letter_more() {
    refused_twice(&[8, 3_008]).holds();
    refused_twice(&[8, 1_000, 3_008]).holds();
    refused_twice(&[8, 1_000, 1_001, 3_008]).breaks("S7");
    // Long before the copies, it is no reason for them.
    refused_twice(&[3_008, 3_009]).holds(); // one of each call
    refused_twice(&[3_008, 3_009, 10_000]).holds(); // the clocks may differ by so much
    refused_twice(&[3_608, 3_609, 10_000]).breaks("S7");
}

#[test]
fn s7_brokers_that_fail_excuse_any_number() {
    let away = |worker| Disturbance { worker, from: at(0), until: at(9_000), what: "broker 1: Stop".to_owned() };
    let story = || Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject).letter(0, 8).letter(0, 900).letter(0, 1_700);
    let story = || story().commit(1, 2_000);
    story().breaks("S7");
    story().with(|history| history.disturbances.push(away(None))).holds();
    story().with(|history| history.disturbances.push(away(Some(1)))).breaks("S7");
    story().with(|history| history.injected.letters_refused.push((at(0), at(1_000)))).holds();
}

#[test]
fn s7_only_an_acknowledgement_makes_an_output() {
    let story = |first| {
        let story = Story::of(&[1]).call(0, 3, 0, 5, first).call(0, 3, 30, 35, ACK).output(0, 38).output(0, 39);
        story.commit(1, 50)
    };
    story(Answer::Overload).breaks("S7");
    let twice = |killed: Option<i64>| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, ACK).output(0, 8).call_by(OTHER, 0, 1, (1_000, 1_005), ACK);
        let story = story.output(0, 1_008).commit_with(1, 1_010, &owned(2));
        killed.into_iter().fold(story, |story, time| story.killed(0, time))
    };
    twice(Some(500)).holds();
    twice(None).breaks("S7");
}

#[test]
fn s9_a_dead_letter_lies_in_its_own_partition_where_there_is_one() {
    let story = |landed, partitions| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Reject).letter(0, 8).commit(1, 10);
        story.with(|history| {
            history.letter_partitions = partitions;
            history.letters[0].landed = landed;
            let tp = crate::history::Tp { topic: 0, partition: 2 };
            history.logs[0].tp = tp;
            history.calls[0].tp = tp;
            history.letters[0].tp = tp;
            history.commits.clear();
        })
    };
    let landed = |story: Story| super::check(&story.0).counts.contains_key("S9");
    assert!(!landed(story(2, 3)));
    assert!(landed(story(1, 3)));
    assert!(!landed(story(1, 2)), "it has no such partition");
    let deleted = story(1, 3).with(|history| history.injected.letters_deleted.push(at(2)));
    assert!(!landed(deleted), "it may have had fewer");
}
