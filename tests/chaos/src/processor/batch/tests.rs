use super::*;
use crate::behaviour::Mix;
use crate::history::Tp;

const TP: Tp = Tp { topic: 0, partition: 0 };

fn request(offset: i64) -> Request {
    Request { tp: TP, offset, attempt: 1, owner: 1, key: None, digest: 100 + offset.cast_unsigned() }
}

/// A decision about records that are treated so, in lanes if given.
fn of(seed: u64, behaviours: &[Behaviour], lanes: &[u64]) -> Decision {
    let requests: Vec<Request> = (0..).take(behaviours.len()).map(request).collect();
    let items = requests.iter().zip(behaviours).enumerate().map(|(place, (record, behaviour))| Item {
        record,
        behaviour: *behaviour,
        troubles: 0,
        lane: lanes.get(place).copied(),
    });
    decide(seed, &items.collect::<Vec<_>>(), false)
}

fn text(decision: &Decision) -> String {
    match &decision.end {
        End::Says(reply) => String::from_utf8_lossy(&reply.bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_same_batch_gets_the_same_answer() {
    let batch = [Behaviour::Ack, Behaviour::Lasting(Trouble::Garbage), Behaviour::Skip];
    for seed in 0..50 {
        assert_eq!(text(&of(seed, &batch, &[])), text(&of(seed, &batch, &[])));
    }
}

#[test]
fn one_record_s_trouble_is_a_verdict_on_it_or_leaves_all_of_them_open() {
    let batch = [Behaviour::Ack, Behaviour::Lasting(Trouble::Status(500)), Behaviour::Ack];
    let answers: BTreeSet<Vec<&str>> =
        (0..50).map(|seed| of(seed, &batch, &[]).answers.into_iter().map(Answer::kind).collect()).collect();
    let (open, ack, failed) = (Answer::Undecided.kind(), Answer::Ack.kind(), Answer::Failed.kind());
    assert_eq!(answers, BTreeSet::from([vec![open; 3], vec![ack, failed, ack]]));
}

#[test]
fn garbage_comes_in_every_kind() {
    let batch = [Behaviour::Ack, Behaviour::Ack, Behaviour::Lasting(Trouble::Garbage), Behaviour::Ack];
    let all: Vec<Decision> = (0..400).map(|seed| of(seed, &batch, &[])).collect();
    let texts: Vec<String> = all.iter().map(text).collect();
    for part in ["no HTTP", "all is well", "oops", "\"verdict\": \"acknowledged\"", "\"item\": 4"] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part}");
    }
    let open = |decision: &Decision| decision.answers.iter().filter(|one| **one == Answer::Undecided).count();
    for count in [1, 2, 4] {
        assert!(all.iter().any(|decision| open(decision) == count), "{count} left open");
    }
    assert!(all.iter().all(|decision| decision.spent.is_empty()), "in company nothing is spent");
}

#[test]
fn alone_there_is_no_doubt() {
    for trouble in [Trouble::Garbage, Trouble::Status(500), Trouble::Refusal(422), Trouble::Break, Trouble::BreakWithin]
    {
        for seed in 0..50 {
            let decision = of(seed, &[Behaviour::Lasting(trouble)], &[]);
            let fair =
                matches!(decision.answers[..], [Answer::Failed | Answer::Garbage | Answer::Reject | Answer::Broken]);
            assert!(fair && decision.spent == [0], "{trouble:?}: {decision:?}");
        }
    }
}

#[test]
fn a_lane_stops_at_its_first_failure_and_no_other_does() {
    let skip = Behaviour::Lasting(Trouble::Busy);
    let by_item = (0..100).map(|seed| of(seed, &[Behaviour::Ack, skip, Behaviour::Ack, Behaviour::Ack], &[1, 1, 1, 2]));
    let by_item: Vec<_> = by_item.filter(|decision| decision.answers[0] == Answer::Ack).collect();
    assert!(by_item.len() > 20);
    for decision in by_item {
        assert_eq!(decision.answers, [Answer::Ack, Answer::Overload, Answer::Behind, Answer::Ack]);
    }
}

#[test]
fn a_batch_that_is_taken_says_so_in_every_way() {
    let texts: Vec<String> = (0..100).map(|seed| text(&of(seed, &[Behaviour::Ack; 3], &[]))).collect();
    for part in ["204 No Content", "content-length: 0", "penstock-verdict: ack", "\"items\": []", "\"item\": 2"] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part}");
    }
}

#[test]
fn whoever_breaks_the_connection_is_named_and_the_others_are_caught() {
    let decision = of(1, &[Behaviour::Ack, Behaviour::Lasting(Trouble::Crash)], &[]);
    assert_eq!(decision.answers, [Answer::Caught, Answer::Broken]);
    assert!(matches!(decision.end, End::Crashes));
}

#[test]
fn every_record_of_a_round_gets_an_answer() {
    let mix = Mix {
        seed: 5,
        max_attempts: 4,
        block: false,
        slow: 500,
        verdicts: 500,
        rejects: 500,
        failures: 500,
        breaks: 500,
        hangs: 20,
        crashes: 20,
        lasting: 500,
        one_in: 1,
    };
    for seed in 0..200 {
        let behaviours: Vec<Behaviour> = (0..20).map(|offset| mix.of(TP, seed * 20 + offset)).collect();
        let decision = of(seed.cast_unsigned(), &behaviours, &[1, 2, 3, 1, 2, 3, 1, 2]);
        assert_eq!(decision.answers.len(), 20, "{decision:?}");
    }
}
