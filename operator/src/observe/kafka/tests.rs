use std::collections::BTreeMap;

use penstock_crds::checkpoint::{Counters, ErrorClass, Gauges, Hold, HoldReason};
use penstock_kafka::admin::AdminError;
use penstock_scaling::Timestamp;

use super::*;
use crate::sampling::{GroupFact, PartitionFact};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn fact() -> PartitionFact {
    PartitionFact {
        log_start: Some(0),
        end: Some(110),
        stable_end: Some(100),
        log_at: at(5),
        committed: Some(Some(40)),
        committed_at: at(4),
        ..PartitionFact::default()
    }
}

fn sample(facts: Vec<PartitionFact>) -> Sample {
    let facts = (0..).zip(facts).map(|(number, fact)| (TopicPartition::new("t", number), fact));
    let group = Some(GroupFact { state: GroupState::Stable, members: vec![], at: at(5) });
    Sample { since: at(1), partitions: facts.collect(), group, answered_at: Some(at(5)), ..Sample::default() }
}

#[test]
fn a_complete_sample_goes_to_the_scaler_partition_by_partition() {
    let source =
        SourceStatus { pinned: start::by_topic([(TopicPartition::new("t", 0), 7)]), ..SourceStatus::default() };
    let Kafka::Sampled { group, partitions } = kafka(Some(&sample(vec![fact()])), &source, at(9)) else { panic!() };
    assert_eq!(group, penstock_scaling::GroupState::Stable);
    assert_eq!((partitions[0].unread(), partitions[0].start_pin), (60, Some(7)));
    assert_eq!(partitions[0].sampled_at(), at(4));
}

#[test]
fn one_partition_that_was_never_known_makes_the_lag_unknown() {
    let unknown = PartitionFact { committed: None, ..fact() };
    let seen = kafka(Some(&sample(vec![fact(), unknown])), &SourceStatus::default(), at(9));
    assert_eq!(seen, Kafka::Unknown { since: at(1) });
    assert_eq!(kafka(Some(&sample(vec![])), &SourceStatus::default(), at(9)), Kafka::Unknown { since: at(1) });
}

#[test]
fn a_checkpoint_is_translated_and_names_the_record_that_holds_its_partition() {
    let failing = |offset, attempts| Failing { offset, attempts, class: ErrorClass::Timeout, seconds: 3 };
    let written = checkpoint::Checkpoint {
        owner: 3,
        done: vec![45..50, 60..61],
        failing: vec![failing(40, 2), failing(41, 9)],
        counters: Some(Counters {
            incarnation: 8,
            worker_millis: 9_000,
            processed: 5,
            busy_millis: 1_500,
            lane_blocked_millis: 0,
        }),
        gauges: Some(Gauges { in_flight: 1, oldest_call_millis: 2_000, concurrency: 64 }),
        hold: None,
        parked: vec![],
    };
    let seen = checkpoint_of(&written, 40).unwrap();
    assert_eq!((seen.done_above, seen.processed, seen.oldest_start), (6, 5, Some(Timestamp::from_millis(7_000))));
    assert_eq!(seen.stuck.map(|record| (record.offset, record.error_class)), Some((40, "Timeout".to_owned())));
    assert_eq!(checkpoint_of(&checkpoint::Checkpoint { counters: None, ..written }, 40), None);
}

#[test]
fn reachability_says_what_fails_since_when_and_what_was_known_last() {
    let mut broken = sample(vec![fact()]);
    assert_eq!(reachability(Some(&broken), None), Reachability::Reachable);
    let trouble = crate::sampling::Trouble::of(&AdminError::Unreachable("b:9092".to_owned()), at(7));
    broken.troubles = BTreeMap::from([(crate::sampling::Asked::LogEnd, trouble)]);
    let Reachability::Unreachable { trouble, since, last_sample } = reachability(Some(&broken), None) else { panic!() };
    assert_eq!((trouble.reason, since, last_sample), (Reason::KafkaUnreachable, time(at(7)), Some(time(at(4)))));
    assert_eq!(reachability(None, None), Reachability::NotAsked);
    let no_secret = Trouble { reason: Reason::SecretMissing, message: String::new() };
    let Reachability::Unreachable { trouble, .. } = reachability(None, Some((&no_secret, at(2)))) else { panic!() };
    assert_eq!(trouble.reason, Reason::SecretMissing);
}

fn pipeline(delivery: &str) -> Pipeline {
    let text = format!(
        "apiVersion: penstock.dev/v1alpha1\nkind: ConsumerPipeline\nmetadata: {{name: p}}\nspec:\n  kafka: {{bootstrapServers: 'k:9092'}}\n  \
         source: {{topics: [{{name: t}}]}}\n  processor: {{type: discard}}\n  delivery: {delivery}"
    );
    penstock_crds::resolve(&penstock_crds::schema::parse(&text).unwrap()).unwrap()
}

#[test]
fn what_workers_say_stands_in_the_way_is_told_with_its_place() {
    let failing = |offset, attempts, class, seconds| Failing { offset, attempts, class, seconds };
    let failed = vec![
        failing(40, 5, ErrorClass::ServerError, 1),
        failing(41, 4, ErrorClass::ServerError, 1),
        failing(42, 1, ErrorClass::Rejected, 1),
        failing(43, 1, ErrorClass::Retry, 60),
    ];
    let (reason, class) = (HoldReason::CircuitOpen, ErrorClass::Unreachable);
    let hold = Some(Hold { reason, class, seconds: 9, lost: None });
    let written = checkpoint::Checkpoint { failing: failed, hold, ..checkpoint::Checkpoint::default() };
    let seen = sample(vec![PartitionFact { checkpoint: Some(written), held_since: Some(at(3)), ..fact() }]);
    let causes = |delivery: &str| {
        let all = hindrances(Some(&seen), &pipeline(delivery));
        all.into_iter().map(|one| one.cause).collect::<Vec<_>>()
    };
    let circuit = Cause::Held { reason, class, since: time(at(3)), lost: None };
    assert_eq!(causes("{}"), std::slice::from_ref(&circuit), "what fails for good goes to the dead letters");
    let blocked = |offset, attempts, class| Cause::Blocked { offset, attempts, class };
    let spent = [blocked(40, 5, ErrorClass::ServerError), blocked(42, 1, ErrorClass::Rejected)];
    assert_eq!(causes("{onExhausted: Block}"), [std::slice::from_ref(&circuit), &spent].concat());
    let aged = [circuit, spent[0].clone(), spent[1].clone(), blocked(43, 1, ErrorClass::Retry)];
    assert_eq!(causes("{onExhausted: Block, retry: {maxAge: 1m}}"), aged);
    assert_eq!(hindrances(None, &pipeline("{}")), []);
}

#[test]
fn parked_keys_are_counted_and_a_full_house_is_told() {
    use penstock_crds::checkpoint::ParkedKey;
    let key = ParkedKey { key: 7, generation: 40, letters: 3, expected: 1 };
    let hold = Some(Hold { reason: HoldReason::ParkedKeysFull, class: ErrorClass::Timeout, seconds: 1, lost: None });
    let delivery = pipeline("{onExhausted: ParkKey}").delivery;
    let told = |hold| {
        let written = checkpoint::Checkpoint { parked: vec![key], hold, ..checkpoint::Checkpoint::default() };
        causes(&written, None, &delivery)
    };
    assert_eq!(told(None), [Cause::Parked { keys: 1, full: false }]);
    assert_eq!(told(hold), [Cause::Parked { keys: 1, full: true }]);
}
