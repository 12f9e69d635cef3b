//! The same for batches and for several topics.

use super::*;

impl Story {
    /// Worker 0 as owner 1: one request with those records, each with its attempt and what came of it.
    pub(super) fn batch(mut self, (from, to): (i64, i64), records: &[(i64, u32, Answer)]) -> Self {
        let request = self.next_request();
        let company = u32::try_from(records.len()).unwrap();
        for (item, (offset, attempt, answer)) in (0..).zip(records) {
            self = self.call(*offset, *attempt, from, to, *answer);
            let call = self.0.calls.last_mut().unwrap();
            (call.request, call.item, call.company) = (request, item, company);
        }
        self
    }

    fn with_lanes(self) -> Self {
        self.with(|history| history.rules.same_lane = true)
    }
}

#[test]
fn a_batch_that_is_taken_holds() {
    Story::of(&[1, 2, 0, 3])
        .batch((0, 5), &[(0, 1, ACK), (1, 1, ACK), (2, 1, ACK), (3, 1, Answer::Skip)])
        .commit(4, 10)
        .holds();
}

/// A batch of two fails as a whole; then each is called alone, as that attempt.
fn bisected(how: Answer, attempt: u32) -> Story {
    let story = Story::of(&[1, 2]).batch((0, 5), &[(0, 1, how), (1, 1, how)]);
    story.call(0, attempt, 10, 15, ACK).call(1, 1, 20, 25, ACK).commit(2, 30)
}

#[test]
fn s12_a_batch_that_fails_charges_nobody() {
    for how in [Answer::Undecided, Answer::Broken, Answer::Caught, Answer::Gone] {
        bisected(how, 1).holds();
        bisected(how, 2).breaks("S12");
    }
}

#[test]
fn s12_a_verdict_on_one_record_charges_that_one_alone() {
    let story = |innocent, culprit| {
        let story = Story::of(&[1, 2]).batch((0, 5), &[(0, 1, Answer::Undecided), (1, 1, Answer::Failed)]);
        story.call(0, innocent, 10, 15, ACK).call(1, culprit, 20, 25, ACK).commit(2, 30)
    };
    story(1, 2).holds();
    story(2, 2).breaks("S12");
    story(1, 1).breaks("S6");
}

#[test]
fn s12_a_break_that_nobody_saw_may_be_charged_and_no_other_time() {
    let story = |down| bisected(Answer::Caught, 2).with(|history| history.downs.push((0, at(down))));
    story(7).holds();
    story(40).breaks("S12");
}

#[test]
fn s12_a_call_that_was_hung_up_before_it_was_read_is_charged_to_its_own_record() {
    let story = |offset| bisected(Answer::Undecided, 2).with(|history| _ = history.unread.insert((TP, offset), 1));
    story(0).holds();
    story(1).breaks("S12");
}

#[test]
fn s12_a_checkpoint_that_charges_a_whole_batch() {
    let story = |charged: &Checkpoint| {
        let story = Story::of(&[1, 2]).batch((0, 5), &[(0, 1, Answer::Undecided), (1, 1, Answer::Undecided)]);
        let alone = story.call(1, 1, 10, 15, Answer::Failed).commit_with(0, 16, charged);
        alone.call(0, 1, 20, 25, ACK).call(1, 2, 30, 35, ACK).commit(2, 40)
    };
    story(&failing(1, 1, ErrorClass::ServerError)).holds();
    story(&failing(0, 1, ErrorClass::ServerError)).breaks("S12");
    story(&failing(1, 2, ErrorClass::ServerError)).breaks("S12");
}

#[test]
fn s12_a_record_that_is_given_up_for_what_befell_its_batches() {
    let story = |third: &[(i64, u32, Answer)]| {
        let story = Story::of(&[1, 2]).call(0, 1, 0, 5, Answer::Failed).call(0, 2, 6, 10, Answer::Failed);
        story.batch((11, 15), third).letter(0, 18).call(1, 1, 20, 25, ACK).commit(2, 30)
    };
    story(&[(0, 3, Answer::Failed)]).holds();
    story(&[(0, 3, Answer::Undecided), (1, 1, Answer::Undecided)]).breaks_also("S12");
}

#[test]
fn s2_a_batch_that_is_left_open_is_no_end() {
    let story = || Story::of(&[1, 2]).batch((0, 5), &[(0, 1, ACK), (1, 1, Answer::Undecided)]);
    story().call(1, 1, 10, 15, ACK).commit(2, 20).holds();
    story().commit(2, 8).call(1, 1, 10, 15, ACK).breaks("S2");
    // Not even of a refusal, or of the last attempt, in company.
    let last = || Story::of(&[1, 2]).batch((0, 5), &[(0, 1, ACK), (1, 3, Answer::Undecided)]);
    last().commit(2, 8).breaks_also("S2");
}

#[test]
fn s5_a_batch_holds_a_key_once_unless_lanes_are_allowed() {
    let story = || Story::of(&[1, 1]).batch((0, 5), &[(0, 1, ACK), (1, 1, ACK)]).commit(2, 10);
    story().with_lanes().holds();
    story().breaks("S5");
}

#[test]
fn s5_a_lane_in_a_batch_is_in_order() {
    Story::of(&[1, 1]).with_lanes().batch((0, 5), &[(1, 1, ACK), (0, 1, ACK)]).commit(2, 10).breaks("S5");
    // Two requests at once are two, whatever a batch may hold.
    let two = Story::of(&[1, 1]).with_lanes().batch((0, 5), &[(0, 1, ACK)]).batch((3, 8), &[(1, 1, ACK)]);
    two.commit(2, 10).breaks("S5");
}

#[test]
fn s5_what_stands_behind_a_failure_comes_again_after_it() {
    let story = || Story::of(&[1, 1]).with_lanes().batch((0, 5), &[(0, 1, Answer::Failed), (1, 1, Answer::Behind)]);
    story().batch((10, 15), &[(0, 2, ACK), (1, 1, ACK)]).commit(2, 20).holds();
    story().call(0, 2, 10, 15, ACK).call(1, 1, 16, 20, ACK).commit(2, 30).holds();
    story().call(1, 1, 10, 15, ACK).call(0, 2, 16, 20, ACK).commit(2, 30).breaks("S5");
    // An answer that says nothing is no end, and costs nothing.
    story().call(0, 2, 10, 15, ACK).commit(2, 20).breaks_also("S1");
    story().call(0, 2, 10, 15, ACK).call(1, 2, 16, 20, ACK).commit(2, 30).breaks("S12");
}

#[test]
fn s7_a_batch_with_something_done_is_not_sent_again_whole() {
    let story = || Story::of(&[1, 2]).batch((0, 5), &[(0, 1, ACK), (1, 1, Answer::Undecided)]);
    story().batch((6_010, 6_015), &[(0, 1, ACK), (1, 1, ACK)]).commit(2, 6_020).breaks("S7");
}

#[test]
fn partitions_of_several_topics_are_kept_apart() {
    let second = Tp { topic: 1, partition: 0 };
    let story = |change: fn(&mut History)| {
        let story = Story::of(&[1, 2]).rest(0, 0).with(|history| {
            let record = Record { offset: 0, ..history.logs[0].records[0].clone() };
            history.topic_ids.push(8);
            history.logs.push(Log { tp: second, records: vec![record], end: 1 });
        });
        let mut both = story.call(0, 1, 20_000, 20_005, ACK);
        both.0.calls.last_mut().unwrap().tp = second;
        let place = Place { cluster_id: "c", topic_id: 8, partition: 0, offset: 1, leader_epoch: 0 };
        let metadata = encode(&Checkpoint { owner: 1, ..Checkpoint::default() }, &place, 4096).text;
        both.0.commits.push(Commit { tp: second, offset: 1, leader_epoch: 0, metadata, at: BEGIN + 20_010 });
        both.with(change)
    };
    story(|_| ()).holds();
    story(|history| history.topic_ids[1] = 7).breaks("S8");
    story(|history| history.calls.retain(|call| call.tp == TP)).breaks_also("S2");
}
