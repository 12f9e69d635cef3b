//! The same for what is charged to whom.

use penstock_crds::checkpoint::ErrorClass;

use super::story::{ACK, Story, failing};
use crate::history::{Answer, Disturbance, OnExhausted};

/// A record that is caught when the processor goes down at 5, and called again as that attempt.
fn caught(attempt: u32) -> Story {
    let story = Story::of(&[1]).call(0, 1, 0, 6, Answer::Caught).down(0, 5);
    story.call(0, attempt, 40, 45, ACK).commit(1, 50)
}

#[test]
fn s12_a_crash_that_is_charged_to_its_neighbours() {
    caught(1).holds();
    caught(2).breaks("S12");
    // By a checkpoint alone.
    let story = || Story::of(&[1]).call(0, 1, 0, 6, Answer::Caught).down(0, 5);
    let story = || story().commit_with(0, 10, &failing(0, 1, ErrorClass::ConnectionLost));
    story().call(0, 1, 40, 45, ACK).commit(1, 50).breaks("S12");
    // Caught twice more, and the third time alone in flight.
    let story = Story::of(&[1]).call(0, 1, 0, 6, Answer::Caught).call(0, 1, 40, 46, Answer::Caught);
    let story = story.call(0, 1, 80, 86, Answer::Caught).down(0, 5).down(0, 45).down(0, 85);
    story.call(0, 2, 120, 125, ACK).commit(1, 130).holds();
}

#[test]
fn s12_a_crash_that_is_charged_to_a_batch() {
    let story = |attempt| {
        let story = Story::of(&[1, 2]).batch((0, 6), &[(0, 1, Answer::Caught), (1, 1, Answer::Caught)]).down(0, 5);
        story.call(0, attempt, 40, 45, ACK).call(1, attempt, 50, 55, ACK).commit(2, 60)
    };
    story(1).holds();
    story(2).breaks("S12");
}

#[test]
fn s12_what_breaks_unseen_is_one_record() {
    // Both were caught when it went down first; between their calls it goes down once more, or twice.
    let story = |downs: &[i64], second| {
        let story = Story::of(&[1, 2]).batch((0, 6), &[(0, 1, Answer::Caught), (1, 1, Answer::Caught)]);
        let story = downs.iter().fold(story, |story, time| story.down(0, *time));
        story.call(0, 2, 140, 145, ACK).call(1, second, 150, 155, ACK).commit(2, 160)
    };
    story(&[5, 60], 1).holds();
    story(&[5, 60, 100], 2).holds();
    story(&[5, 60], 2).breaks("S12");
}

#[test]
fn s12_a_break_that_nobody_saw_is_its_own_worker_s() {
    let story = |worker| {
        let story = Story::of(&[1]).call(0, 1, 0, 6, Answer::Caught).down(0, 5).down(worker, 60);
        story.call(0, 2, 140, 145, ACK).commit(1, 150)
    };
    story(0).holds();
    story(1).breaks("S12");
}

#[test]
fn s12_an_outage_that_charges_each_refused_connection() {
    let story = |attempt| {
        let story = Story::of(&[1]).call(0, 1, 0, 6, Answer::Unavailable).down(0, 5);
        story.call(0, attempt, 40, 45, ACK).commit(1, 50)
    };
    story(1).holds();
    story(2).breaks_also("S12");
}

#[test]
fn s12_what_comes_after_its_end_excuses_no_dead_letter() {
    let story = |third, down| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Failed).call(0, 2, 30, 35, Answer::Failed);
        story.call(0, 3, 60, 65, third).down(0, down).letter(0, 120).commit(1, 130)
    };
    story(Answer::Failed, 500).holds();
    story(Answer::Caught, 100).holds();
    story(Answer::Caught, 500).breaks("S12");
}

#[test]
fn s12_what_is_dropped_had_all_its_attempts() {
    let story = |third, down| {
        let story = Story::of(&[1]).with(|history| history.rules.on_exhausted = OnExhausted::Discard);
        let story = story.call(0, 1, 0, 5, Answer::Failed).call(0, 2, 30, 35, Answer::Failed);
        story.call(0, 3, 60, 65, third).down(0, down).commit(1, 130)
    };
    story(Answer::Failed, 500).holds();
    story(Answer::Reject, 500).holds();
    story(Answer::Caught, 100).holds();
    story(Answer::Caught, 500).breaks("S12");
}

#[test]
fn s12_a_processor_that_is_busy_charges_nobody_for_a_while() {
    let story = |times: i64, attempt| {
        let busy = |story: Story, time| story.call(0, 1, 40 * time, 40 * time + 5, Answer::Overload);
        let story = (0..times).fold(Story::of(&[1]), busy);
        story.call(0, attempt, 40 * times, 40 * times + 5, ACK).commit(1, 2_000)
    };
    story(1, 1).holds();
    story(1, 2).breaks_also("S12");
    story(16, 2).breaks_also("S12");
    story(17, 2).holds();
    story(17, 3).breaks_also("S12");
}

#[test]
fn s12_a_call_that_is_cut_off_costs_an_attempt_only_by_its_timeout() {
    let story = |took, attempt| {
        let story = Story::of(&[1]).call(0, 1, 0, took, Answer::Gone);
        story.call(0, attempt, took + 40, took + 45, ACK).commit(1, 5_000)
    };
    story(2_001, 2).holds();
    story(50, 1).holds();
    story(50, 2).breaks_also("S12");
    // The request was read late.
    story(50, 2).late(-1_900, 0).holds();
    // A last attempt that was cut off is no end.
    let last = |took| Story::of(&[1]).call(0, 3, 0, took, Answer::Gone).letter(0, took + 3).commit(1, took + 10);
    last(50).breaks_also("S2");
}

#[test]
fn s12_an_answer_that_a_stopped_worker_did_not_hear_in_time() {
    let story = |paused: Option<u32>| {
        let story = Story::of(&[1]).call(0, 1, 0, 5, Answer::Unavailable).call(0, 2, 9_000, 9_005, ACK);
        story.commit(1, 9_010).with(|history| {
            let what = "SIGSTOP".to_owned();
            let (from, until) = (super::at(3), super::at(14_000));
            history.disturbances.extend(paused.map(|worker| Disturbance { worker: Some(worker), from, until, what }));
        })
    };
    story(Some(0)).holds();
    story(None).breaks_also("S12");
    story(Some(1)).breaks_also("S12");
}
