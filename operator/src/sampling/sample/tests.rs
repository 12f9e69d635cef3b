use penstock_kafka::admin::{GroupMember, GroupType, Partition};
use penstock_kafka::error::ErrorCode;
use penstock_kafka::settings::{ClientConfig, Connection};

use super::super::book::Pace;
use super::super::tick::{Offsets, Round};
use super::*;

fn config() -> ClientConfig {
    Connection::resolve(Some("k:9092"), None, None, &BTreeMap::new()).unwrap().admin("t")
}

fn subscription() -> Subscription {
    Subscription {
        uid: "u".to_owned(),
        pipeline: kube::runtime::reflector::ObjectRef::new("p").within("n"),
        config: config(),
        sources: vec!["t".to_owned()],
        targets: vec!["d".to_owned()],
        group: "g".to_owned(),
        read_committed: true,
        pace: Pace::Active,
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn answers(seconds: u64) -> Answers {
    Answers::none(&Round { config: config(), questions: vec![] }, at(seconds))
}

fn topic(id: i64, partitions: i32) -> Topic {
    let partition = |partition| Partition { partition, leader: Some(1), replicas: vec![1], in_sync: vec![1] };
    Topic {
        id: Some(TopicId { high: 0, low: id }),
        internal: false,
        partitions: (0..partitions).map(partition).collect(),
    }
}

fn with_topic(seconds: u64, id: i64, partitions: i32) -> Answers {
    Answers { topics: Some(Ok(vec![("t".to_owned(), Ok(topic(id, partitions)))])), ..answers(seconds) }
}

fn offsets(list: &[i64]) -> Offsets {
    (0..).zip(list).map(|(number, offset)| (TopicPartition::new("t", number), Ok(*offset))).collect()
}

fn partition(sample: &Sample, number: i32) -> &PartitionFact {
    &sample.partitions[&TopicPartition::new("t", number)]
}

#[test]
fn answers_add_up_and_each_value_keeps_its_time() {
    let sample = Sample::empty(at(0)).after(&subscription(), &with_topic(1, 1, 2));
    assert_eq!((sample.partition_count("t"), sample.partitions.len()), (Some(2), 2));
    let log =
        Answers { log_ends: Some(Ok(offsets(&[10, 20]))), stable_ends: Some(Ok(offsets(&[9, 20]))), ..answers(2) };
    let sample = sample.after(&subscription(), &log);
    assert_eq!((partition(&sample, 0).end, partition(&sample, 0).stable_end), (Some(10), Some(9)));
    assert_eq!(partition(&sample, 0).log_at, at(2));
}

#[test]
fn a_failed_or_partial_answer_keeps_what_was_known_and_says_so() {
    let known = Sample::empty(at(0)).after(&subscription(), &with_topic(1, 1, 2));
    let known = known.after(&subscription(), &Answers { stable_ends: Some(Ok(offsets(&[5, 6]))), ..answers(2) });
    let failed = Answers { stable_ends: Some(Err(AdminError::Timeout("t".to_owned()))), ..answers(7) };
    let after = known.after(&subscription(), &failed);
    assert_eq!((partition(&after, 1).stable_end, partition(&after, 1).log_at), (Some(6), at(2)));
    assert_eq!(after.trouble().map(|trouble| (trouble.kind, trouble.since)), Some((TroubleKind::Unreachable, at(7))));
    let again = after.after(&subscription(), &Answers { at: at(12), ..failed });
    assert_eq!(again.trouble().map(|trouble| trouble.since), Some(at(7)));

    let mut partial = offsets(&[8, 8]);
    partial.insert(TopicPartition::new("t", 1), Err(AdminError::Kafka(penstock_kafka::KafkaError::of(ErrorCode(6)))));
    let after = again.after(&subscription(), &Answers { stable_ends: Some(Ok(partial)), ..answers(15) });
    assert_eq!((partition(&after, 0).stable_end, partition(&after, 1).stable_end), (Some(8), Some(6)));
    assert_eq!(after.trouble().map(|trouble| trouble.kind), Some(TroubleKind::Refused));
    let healed = after.after(&subscription(), &Answers { stable_ends: Some(Ok(offsets(&[9, 9]))), ..answers(20) });
    assert_eq!(healed.trouble(), None);
}

#[test]
fn a_topic_that_was_made_again_has_another_log() {
    let known = Sample::empty(at(0)).after(&subscription(), &with_topic(1, 1, 1));
    let known = known.after(&subscription(), &Answers { log_ends: Some(Ok(offsets(&[10]))), ..answers(2) });
    let again = known.after(&subscription(), &with_topic(30, 2, 1));
    assert_eq!(partition(&again, 0).end, None);
    let gone =
        Answers { topics: Some(Ok(vec![("t".to_owned(), Err(AdminError::NotFound("t".to_owned())))])), ..answers(40) };
    let gone = again.after(&subscription(), &gone);
    assert_eq!((gone.topics.get("t"), gone.partitions.len()), (Some(&TopicFact::Missing), 0));
}

#[test]
fn what_a_complete_answer_does_not_name_has_nothing_committed() {
    let known = Sample::empty(at(0)).after(&subscription(), &with_topic(1, 1, 2));
    assert_eq!(partition(&known, 0).committed, None);
    let committed = Committed { offset: 4, leader_epoch: None, metadata: b"somebody else's".to_vec() };
    let mut fetched = answers(3);
    fetched.offsets.insert("u".to_owned(), (Ok(vec![(TopicPartition::new("t", 0), Ok(Some(committed)))]), at(3)));
    let known = known.after(&subscription(), &fetched);
    assert_eq!((partition(&known, 0).committed, partition(&known, 1).committed), (Some(Some(4)), Some(None)));
    assert_eq!(partition(&known, 0).checkpoint, None);
}

#[test]
fn strangers_are_told_from_our_own_by_client_id() {
    let member = |client_id: &str| GroupMember {
        member_id: client_id.to_owned(),
        client_id: client_id.to_owned(),
        host: "h".to_owned(),
        instance_id: None,
        assignment: vec![],
    };
    let group = ConsumerGroup {
        state: GroupState::Stable,
        kind: GroupType::Classic,
        assignor: "range".to_owned(),
        coordinator: None,
        members: vec![member("penstock-u"), member("legacy")],
    };
    let mut described = answers(3);
    described.groups.insert("u".to_owned(), (Ok(group), at(3)));
    let sample = Sample::empty(at(0)).after(&subscription(), &described);
    assert_eq!(sample.strangers("penstock-u").collect::<Vec<_>>(), ["legacy"]);
    assert_eq!(sample.group_is_empty(), Some(false));
}

#[test]
fn words_that_change_with_every_try_are_left_out() {
    let said =
        "b:9092: Connect failed: Connection refused (after 0ms in state CONNECT, 1 identical error(s) suppressed)";
    let trouble = Trouble::of(&AdminError::Unreachable(said.to_owned()), at(1));
    assert!(trouble.text.ends_with("Connection refused"), "{}", trouble.text);
}

#[test]
fn a_hold_began_when_its_worker_says_and_that_stands_still() {
    use penstock_crds::checkpoint::{ErrorClass, Hold, HoldReason};
    let said = |reason, seconds| {
        let hold = Some(Hold { reason, class: ErrorClass::Unreachable, seconds, lost: None });
        Checkpoint { hold, ..Checkpoint::default() }
    };
    let mut fact = PartitionFact::default();
    let mut see = |checkpoint: Checkpoint, second| {
        fact.held_since = fact.held_since(Some(&checkpoint), at(second));
        fact.checkpoint = Some(checkpoint);
        fact.held_since
    };
    assert_eq!(see(said(HoldReason::CircuitOpen, 4), 100), Some(at(96)));
    assert_eq!(see(said(HoldReason::CircuitOpen, 8), 105), Some(at(96)), "give or take the age of a commit");
    assert_eq!(see(said(HoldReason::ForwardFailed, 1), 110), Some(at(109)));
    assert_eq!(see(Checkpoint::default(), 115), None);
}
