//! Consumer, producer and admin client against librdkafka's mock cluster, for what a real broker does only when it is ill.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "support/mod.rs"]
mod support;

#[path = "support/mock.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod mock;

use std::time::{Duration, Instant};

use mock::{Code, Mock, Request};
use penstock_kafka::admin::{AdminClient, AdminError, Isolation, OffsetSpec};
use penstock_kafka::consumer::{CommitOffset, RebalanceKind};
use penstock_kafka::producer::{OutgoingRecord, Producer, ProducerEvent};
use penstock_kafka::settings::GroupProtocol;
use penstock_kafka::wake::{Sleeper, pair};
use penstock_kafka::{ErrorCode, TopicPartition};
use support::{Confirm, Member, PATIENCE, connection, settings};

const TOPIC: &str = "orders";

fn producer(mock: &Mock) -> (Producer, Sleeper) {
    let (sleeper, waker) = pair();
    (Producer::new(&connection(&mock.bootstrap()).producer("test"), waker).unwrap(), sleeper)
}

fn record(partition: i32, value: &[u8]) -> OutgoingRecord<'_> {
    OutgoingRecord {
        topic: TOPIC,
        partition: Some(partition),
        key: None,
        value: Some(value),
        headers: &[],
        timestamp: None,
    }
}

fn fill(mock: &Mock, partitions: i32, each: u64) {
    let (mut producer, _sleeper) = producer(mock);
    for token in 0..each {
        for partition in 0..partitions {
            producer.send(&record(partition, b"value"), token).unwrap();
        }
    }
    let mut failed = Vec::new();
    assert!(producer.flush(PATIENCE, |event| match event {
        ProducerEvent::Delivered { .. } => {}
        other => failed.push(other),
    }));
    assert_eq!(failed, []);
}

fn commit(offset: i64, metadata: &[u8]) -> CommitOffset {
    CommitOffset { partition: TopicPartition::new(TOPIC, 0), offset, leader_epoch: None, metadata: metadata.to_vec() }
}

fn life(protocol: GroupProtocol, confirm: Confirm) {
    let mock = Mock::new(3);
    mock.topic(TOPIC, 4);
    fill(&mock, 4, 100);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "first", protocol), &[TOPIC]);
    member.confirm = confirm;
    assert!(member.run(PATIENCE, |member| member.count == 400), "{} {:?}", member.count, member.errors);
    assert_eq!(member.rebalances, [(RebalanceKind::Assign, 4, false)]);
    for partition in 0..4 {
        let offsets: Vec<_> = member
            .records
            .iter()
            .filter(|seen| seen.partition.partition == partition)
            .map(|seen| seen.offset)
            .collect();
        assert_eq!(offsets, (0..100).collect::<Vec<_>>());
        assert_eq!(member.consumer.position(&TopicPartition::new(TOPIC, partition)), Some(100));
    }
    let reply = member.commit(&[commit(50, b"checkpoint")]);
    assert_eq!((reply.error, reply.partitions[0].2), (None, Ok(())));
    let read = member.fetch_committed(&[TopicPartition::new(TOPIC, 0)]).result.unwrap();
    let committed = read[0].1.clone().unwrap().unwrap();
    assert_eq!((committed.offset, &committed.metadata[..]), (50, &b"checkpoint"[..]));
    assert!(member.close() < Duration::from_secs(5));

    // The next owner starts where the last commit was, and at the beginning where there is none.
    let mut next = Member::join(&mock.bootstrap(), &settings("g", "next", protocol), &[TOPIC]);
    assert!(next.run(PATIENCE, |member| member.count == 350), "{}", next.count);
    next.close();
}

#[test]
fn a_group_lives_with_the_consumer_protocol() {
    life(GroupProtocol::Consumer, Confirm::WhenLoaded);
}

#[test]
fn a_group_lives_with_the_classic_protocol() {
    life(GroupProtocol::Classic, Confirm::WhenLoaded);
}

#[test]
fn an_assignment_can_be_confirmed_before_its_offsets_are_known() {
    life(GroupProtocol::Consumer, Confirm::AtOnce);
}

#[test]
fn a_broker_without_the_consumer_protocol_says_so_and_the_classic_one_works() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    mock.disable(Request::ConsumerGroupHeartbeat);
    fill(&mock, 1, 10);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "new", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| !member.errors.is_empty()));
    let error = &member.errors[0];
    assert!(error.fatal && error.code.is_group_protocol_unsupported(), "{error:?}");
    // Nothing to leave: it is dropped, and another made.
    drop(member);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "old", GroupProtocol::Classic), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| member.count == 10), "{:?}", member.errors);
    member.close();
}

#[test]
fn a_broker_that_refuses_the_consumer_protocol_is_a_fatal_error() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    mock.fail(Request::ConsumerGroupHeartbeat, vec![Code::RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION; 3]);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "new", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| !member.errors.is_empty()));
    let error = &member.errors[0];
    assert!(error.fatal && error.code.is_group_protocol_unsupported(), "{error:?}");
    assert_eq!(member.consumer.fatal_error().map(|error| error.code), Some(error.code));
    // A consumer with a fatal error cannot be closed, and need not be.
    assert!(member.consumer.close().is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn the_cluster_says_which_group_protocol_it_offers() {
    let mock = Mock::new(2);
    let ask = async || {
        let admin = AdminClient::new(&connection(&mock.bootstrap()).admin("admin")).unwrap();
        admin.group_protocol(PATIENCE).await.unwrap()
    };
    assert_eq!(ask().await, GroupProtocol::Consumer);
    mock.disable(Request::ConsumerGroupHeartbeat);
    assert_eq!(ask().await, GroupProtocol::Classic);
}

#[test]
fn a_refused_commit_is_an_answer() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    fill(&mock, 1, 10);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| member.count == 10));
    for (code, expected, retriable) in [
        (Code::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, ErrorCode::OFFSET_METADATA_TOO_LARGE, false),
        (Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, ErrorCode::UNKNOWN_MEMBER_ID, false),
        (Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, ErrorCode::REBALANCE_IN_PROGRESS, true),
    ] {
        mock.fail(Request::OffsetCommit, vec![code; 1]);
        let reply = member.commit(&[commit(5, b"x")]);
        assert_eq!(reply.partitions[0].2, Err(expected), "{reply:?}");
        assert_eq!(expected.is_commit_retriable(), retriable);
    }
    assert_eq!(member.commit(&[commit(5, b"x")]).error, None);
    // Backwards is accepted: the guard is the caller's.
    assert_eq!(member.commit(&[commit(2, b"x")]).error, None);
    member.close();
}

#[test]
fn committed_offsets_that_cannot_be_had_are_an_error_and_not_nothing() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| member.owned.len() == 1));
    mock.down(1);
    let partitions = [TopicPartition::new(TOPIC, 0)];
    let start = Instant::now();
    member.consumer.fetch_committed(7, &partitions, Duration::from_millis(1500)).unwrap();
    assert!(member.run(PATIENCE, |member| member.committed.contains_key(&7)));
    assert!(member.committed[&7].result.is_err());
    assert!(start.elapsed() < Duration::from_secs(10), "the timeout holds");
    mock.up(1);
    assert_eq!(member.fetch_committed(&partitions).result.unwrap()[0].1, Ok(None));
}

#[test]
fn partitions_given_up_and_taken_again_deliver() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 2);
    fill(&mock, 2, 20);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| member.count == 40));
    let partition = TopicPartition::new(TOPIC, 1);
    for round in 1..=3 {
        member.release(std::slice::from_ref(&partition));
        member.release(std::slice::from_ref(&partition)); // said twice
        assert!(!member.consumer.maybe_ready(&partition));
        let start = penstock_kafka::consumer::StartAt { partition: partition.clone(), offset: 5, leader_epoch: None };
        member.consumer.assign(&[start]).unwrap();
        member.owned.insert(partition.clone());
        assert!(member.run(PATIENCE, |member| member.count == 40 + round * 15), "{}", member.count);
    }
    member.close();
}

#[test]
fn partitions_revoked_before_they_were_read_are_let_go() {
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        let mock = Mock::new(1);
        mock.topic(TOPIC, 4);
        fill(&mock, 4, 10);
        let mut slow = Member::join(&mock.bootstrap(), &settings("g", "slow", protocol), &[TOPIC]);
        (slow.confirm, slow.hold_loads) = (Confirm::AtOnce, true);
        assert!(slow.run(PATIENCE, |member| !member.rebalances.is_empty()));
        let mut quick = Member::join(&mock.bootstrap(), &settings("g", "quick", protocol), &[TOPIC]);
        let deadline = Instant::now() + PATIENCE;
        while quick.owned.len() < 2 && Instant::now() < deadline {
            slow.run(Duration::from_millis(20), |_| false);
            quick.run(Duration::from_millis(20), |_| false);
        }
        assert_eq!(quick.owned.len(), 2, "{protocol:?} {:?} {:?}", slow.rebalances, quick.rebalances);
        assert!(quick.run(PATIENCE, |member| member.count == 20));
        slow.close();
        quick.close();
    }
}

#[test]
fn every_record_wakes_the_thread() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 3);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    // Far above what a record takes: a wake-up that is lost shows as this long.
    member.cap = Duration::from_secs(20);
    assert!(member.run(PATIENCE, |member| member.owned.len() == 3));
    let (mut producer, _sleeper) = producer(&mock);
    for number in 0..12 {
        let start = Instant::now();
        producer.send(&record(number % 3, b"value"), 1).unwrap();
        assert!(producer.flush(PATIENCE, |_| ()));
        let all = usize::try_from(number).unwrap() + 1;
        assert!(member.run(PATIENCE, |member| member.count == all));
        assert!(start.elapsed() < Duration::from_secs(10), "record {number} took {:?}", start.elapsed());
    }
    member.close();
}

#[test]
fn an_unclosed_consumer_is_dropped_without_waiting() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 4);
    fill(&mock, 4, 1000);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| member.count > 0));
    mock.down(1);
    member.consumer.commit(1, &[commit(1, b"never answered")]).unwrap();
    let start = Instant::now();
    drop(member);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn a_record_that_is_refused_comes_back_as_failed() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    let (mut producer, sleeper) = producer(&mock);
    mock.fail(Request::Produce, vec![Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    producer.send(&record(0, b"value"), 77).unwrap();
    assert_eq!(producer.in_flight(), 1);
    let deadline = Instant::now() + PATIENCE;
    let event = loop {
        if let Some(event) = producer.next_event() {
            break event;
        }
        assert!(Instant::now() < deadline);
        support::runtime().block_on(sleeper.sleep_unless(|| producer.maybe_ready(), || Duration::from_secs(1)));
    };
    let ProducerEvent::Failed { token: 77, error } = event else { panic!("{event:?}") };
    assert_eq!(error.code, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert_eq!((producer.in_flight(), producer.room().bytes), (0, penstock_kafka::producer::MAX_BYTES));
}

/// Chaos, seed 13103: dead letters that were under way while their topic was made anew.
#[test]
fn what_is_only_inferred_to_be_written_is_not_confirmed() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    let (mut producer, _sleeper) = producer(&mock);
    producer.send(&record(0, b"before"), 0).unwrap();
    assert!(producer.flush(PATIENCE, |event| assert!(matches!(event, ProducerEvent::Delivered { .. }), "{event:?}")));
    mock.count_requests();
    mock.fail(Request::Produce, vec![Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART]);
    mock.delay_answers(500);
    producer.send(&record(0, b"refused"), 1).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while mock.counted(Request::Produce) == 0 {
        assert!(Instant::now() < deadline, "the first request is not under way");
        std::thread::sleep(Duration::from_millis(1));
    }
    producer.send(&record(0, b"taken"), 2).unwrap();
    let (mut written, mut failed) = (Vec::new(), Vec::new());
    assert!(producer.flush(PATIENCE, |event| match event {
        ProducerEvent::Delivered { token, offset, .. } => written.push((token, offset)),
        ProducerEvent::Failed { token, .. } => failed.push(token),
        ProducerEvent::Error(error) => panic!("{error:?}"),
    }));
    assert_eq!((written, failed), (vec![(2, 1)], vec![1]));
}

#[test]
fn a_flush_ends_at_its_deadline_and_a_purge_gives_everything_back() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    let (mut producer, _sleeper) = producer(&mock);
    mock.down(1);
    for token in 0..10 {
        producer.send(&record(0, b"value"), token).unwrap();
    }
    let start = Instant::now();
    assert!(!producer.flush(Duration::from_millis(300), |_| ()));
    assert!(start.elapsed() < Duration::from_secs(3));
    producer.purge();
    let mut failed = Vec::new();
    assert!(producer.flush(PATIENCE, |event| if let ProducerEvent::Failed { token, .. } = event {
        failed.push(token);
    }));
    assert_eq!(failed, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "current_thread")]
async fn an_admin_client_survives_a_coordinator_that_moves() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    let admin = AdminClient::new(&connection(&mock.bootstrap()).admin("admin")).unwrap();
    let ask = || admin.list_consumer_group_offsets("g", None, true, Duration::from_secs(5));
    ask().await.unwrap();
    // librdkafka 2.12.1 follows a null pointer here if the client has no group.
    for code in [Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE] {
        mock.fail(Request::OffsetFetch, vec![code]);
        let _refused_or_retried = ask().await;
    }
    mock.fail(Request::OffsetFetch, vec![Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED]);
    let refused = ask().await.unwrap_err();
    assert_eq!(refused.to_string(), "not allowed: the ACL Describe on Group g is missing");
    assert!(matches!(refused, AdminError::Authorization(_)));
    assert_eq!(ask().await.unwrap(), []);
}

#[tokio::test(flavor = "current_thread")]
async fn a_call_outlived_by_its_coordinators_absence_does_no_harm() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    let admin = AdminClient::new(&connection(&mock.bootstrap()).admin("admin")).unwrap();
    let ask = |timeout| admin.list_consumer_group_offsets("g", None, true, timeout);
    ask(PATIENCE).await.unwrap();
    for _outage in 0..3 {
        mock.down(1);
        let (one, two) = tokio::join!(ask(Duration::from_millis(300)), ask(Duration::from_millis(500)));
        assert!(one.is_err() && two.is_err());
        mock.up(1);
        // librdkafka 2.12.1 aborts here when the call has timed out inside of it.
        assert_eq!(ask(PATIENCE).await, Ok(Vec::new()));
    }
}

/// Asks for the ends of two partitions, and again after their leaders have gone through `changes`. What librdkafka 2.12.1 has in its
/// cache is then wrong, and it would go on answering from it for minutes: the second call at the latest must be right.
async fn ends_after(changes: &[Option<i32>]) {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 2);
    let admin = AdminClient::new(&connection(&mock.bootstrap()).admin("admin")).unwrap();
    let asked = [0, 1].map(|partition| (TopicPartition::new(TOPIC, partition), OffsetSpec::Latest));
    let ask = || admin.list_offsets(&asked, Isolation::ReadUncommitted, PATIENCE);
    for change in changes {
        let _as_it_was = ask().await;
        (0..2).for_each(|partition| mock.lead(TOPIC, partition, *change));
    }
    let _may_be_refused = ask().await;
    let answers = ask().await.unwrap();
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()), "{answers:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn leaders_that_were_all_gone_are_found_again() {
    ends_after(&[None, Some(1)]).await;
}

#[tokio::test(flavor = "current_thread")]
async fn leaders_that_began_anew_are_asked_by_their_new_epoch() {
    ends_after(&[Some(1)]).await;
}

#[tokio::test(flavor = "current_thread")]
async fn calls_of_a_client_without_a_broker_end_at_their_timeout_and_say_why() {
    let admin = AdminClient::new(&connection("127.0.0.1:1").admin("admin")).unwrap();
    let start = Instant::now();
    let (one, two) = tokio::join!(
        admin.describe_cluster(Duration::from_secs(2)),
        admin.list_consumer_group_offsets("g", None, true, Duration::from_secs(2)),
    );
    assert!(matches!(one, Err(AdminError::Unreachable(_))), "{one:?}");
    assert!(matches!(two, Err(AdminError::Unreachable(_))), "{two:?}");
    assert!(start.elapsed() < Duration::from_secs(8));
}
