//! Traps of librdkafka 2.12 that a consumer falls into sooner or later, each sprung here against its mock cluster. The list, with what
//! holds of the others, is in ARCHITECTURE.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "support/mod.rs"]
mod support;

#[path = "support/mock.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod mock;

use std::time::{Duration, Instant};

use mock::{Code, Mock, Request};
use penstock_kafka::consumer::{CommitOffset, FetchLimit, RebalanceKind, StartAt};
use penstock_kafka::producer::{OutgoingRecord, Producer};
use penstock_kafka::settings::{Connection, ConsumerSettings, GroupProtocol};
use penstock_kafka::wake::pair;
use penstock_kafka::{ErrorCode, TopicPartition};
use support::{Member, PATIENCE, connection, settings};

const TOPIC: &str = "orders";
/// A topic that is made in the course of a test.
const LATER: &str = "later";

/// Headers of a record.
type Headers<'a> = &'a [(&'a [u8], Option<&'a [u8]>)];
/// Key, value and headers of a record.
type NewRecord<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Headers<'a>);

fn send(mock: &Mock, partition: i32, records: &[NewRecord<'_>]) {
    let (_sleeper, waker) = pair();
    let mut producer = Producer::new(&connection(&mock.bootstrap()).producer("test"), waker).unwrap();
    for (key, value, headers) in records {
        let record = OutgoingRecord {
            topic: TOPIC,
            partition: Some(partition),
            key: *key,
            value: *value,
            headers,
            timestamp: None,
        };
        producer.send(&record, 1).unwrap();
    }
    assert!(producer.flush(PATIENCE, |_| ()));
}

fn fill(mock: &Mock, partitions: i32, each: usize) {
    let records: Vec<NewRecord<'_>> = vec![(None, Some(b"value"), &[]); each];
    (0..partitions).for_each(|partition| send(mock, partition, &records));
}

fn commit(partition: i32, offset: i64, metadata: &[u8]) -> CommitOffset {
    let partition = TopicPartition::new(TOPIC, partition);
    CommitOffset { partition, offset, leader_epoch: None, metadata: metadata.to_vec() }
}

/// librdkafka does not ask for what was in a lost answer, so whoever uses it must be told.
#[test]
fn a_heartbeat_that_is_not_answered_in_time_is_told_of() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| !member.owned.is_empty()));
    assert_eq!(member.answers_lost, 0);
    mock.delay_answers(3000); // the interval is 100 ms, and timeouts are looked for once a second
    assert!(member.run(PATIENCE, |member| member.answers_lost > 0));
}

/// The position is the new place until records come from there, and then it may be the old one again. That the client tells the old one for a
/// while is seen under load alone; what is made of it, `split.rs` tests.
#[test]
fn whoever_reads_on_elsewhere_does_not_stand_where_it_stood() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    fill(&mock, 1, 50);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| member.count == 50));
    let partition = TopicPartition::new(TOPIC, 0);
    assert_eq!(member.consumer.position(&partition), Some(50));
    member.consumer.seek(&StartAt { partition: partition.clone(), offset: 10, leader_epoch: None }).unwrap();
    assert_eq!(member.consumer.position(&partition), Some(10), "of what it reads now it has given nothing");
    assert!(member.run(PATIENCE, |member| member.count == 90));
    assert_eq!(member.consumer.position(&partition), Some(50), "as far as before, but in earnest");
    member.close();
}

/// The call that takes many records takes an error for one of them, and whoever pauses then, as each rebalance makes all partitions do, goes on
/// behind a record that never came, or finds that its offset is lost (librdkafka #5213).
#[test]
fn an_error_among_the_records_passes_over_none_of_them() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 2);
    fill(&mock, 2, 50);
    let settings = |client_id| settings("g", client_id, GroupProtocol::Classic);
    let mut first = Member::join(&mock.bootstrap(), &settings("first"), &[TOPIC]);
    assert!(first.run(PATIENCE, |first| first.count == 100));
    let partitions = [0, 1].map(|partition| TopicPartition::new(TOPIC, partition));
    let positions = |member: &Member| partitions.each_ref().map(|partition| member.consumer.position(partition));
    assert_eq!(positions(&first), [Some(50); 2]);
    // Not the answer to every request reaches both partitions.
    mock.fail(Request::Fetch, vec![Code::RD_KAFKA_RESP_ERR_UNKNOWN; 4]);
    let failed = |member: &Member, of: &TopicPartition| member.partition_errors.iter().any(|(failed, _)| failed == of);
    assert!(first.run(PATIENCE, |first| partitions.iter().all(|partition| failed(first, partition))));
    assert_eq!(positions(&first), [Some(50); 2], "nothing more was read");
    let mut second = Member::join(&mock.bootstrap(), &settings("second"), &[TOPIC]);
    let shared = |first: &Member, second: &Member| (first.owned.len(), second.owned.len()) == (1, 1);
    assert!(run_both(&mut first, &mut second, shared), "{:?} {:?}", first.rebalances, second.rebalances);
    fill(&mock, 2, 50);
    let kept = first.owned.first().unwrap().clone();
    let read = |first: &Member| first.records.iter().filter(|record| record.partition == kept).count();
    assert!(
        run_both(&mut first, &mut second, |first, _| read(first) >= 100),
        "{} {:?}",
        read(&first),
        positions(&first)
    );
    let offsets = first.records.iter().filter(|record| record.partition == kept).map(|record| record.offset);
    assert!(offsets.eq(0..100), "each once, and in order");
    first.close();
    second.close();
}

/// Many records come by one call of librdkafka, and yet no more of them than were asked for.
#[test]
fn a_fetch_brings_no_more_than_it_may() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    fill(&mock, 1, 500);
    let size = b"value".len();
    let by_count = FetchLimit { max_records: 7, max_bytes: 1 << 20 };
    let by_bytes = FetchLimit { max_records: 1000, max_bytes: 6 * size + 1 };
    for (group, limit) in [("count", by_count), ("bytes", by_bytes)] {
        let mut member = Member::join(&mock.bootstrap(), &settings(group, "m", GroupProtocol::Consumer), &[TOPIC]);
        member.limit = limit;
        assert!(member.run(PATIENCE, |member| member.count == 500));
        assert_eq!(member.largest_fetch, 7, "{limit:?}");
        member.close();
    }
}

/// Traps 4, 5 and 7: what a commit says is written as it is, also where only the metadata is new, and also where it is no text.
#[test]
fn a_commit_of_metadata_alone_is_written_to_the_byte() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    fill(&mock, 1, 10);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| member.count == 10));
    for metadata in [&b"one"[..], b"two", b"\xff\xfe no text", b""] {
        assert_eq!(member.commit(&[commit(0, 5, metadata)]).partitions[0].2, Ok(()));
        let read = member.fetch_committed(&[TopicPartition::new(TOPIC, 0)]).result.unwrap();
        let committed = read[0].1.clone().unwrap().unwrap();
        assert_eq!((committed.offset, &committed.metadata[..]), (5, metadata), "the offset itself, and not one more");
    }
    member.close();
}

/// Trap 9, and 8: whoever does not poll for too long has lost everything without being asked, is told so, and goes on from its last
/// commit. That nobody *processes* is not seen so: polling is enough.
#[test]
fn whoever_did_not_poll_for_too_long_is_told_that_everything_is_lost_and_gets_it_back() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 2);
    fill(&mock, 2, 10);
    for (group, protocol) in [("consumer", GroupProtocol::Consumer), ("classic", GroupProtocol::Classic)] {
        let interval = Duration::from_secs(2);
        let settings = ConsumerSettings {
            max_poll_interval: interval,
            session_timeout: interval,
            ..support::settings(group, "m", protocol)
        };
        let mut member = Member::join(&mock.bootstrap(), &settings, &[TOPIC]);
        assert!(member.run(PATIENCE, |member| member.count == 20), "{group}: {:?}", member.errors);
        assert_eq!(member.commit(&[commit(0, 4, b"")]).error, None);
        assert!(!member.consumer.assignment_lost());
        std::thread::sleep(interval * 2); // not to poll is what this is about
        assert!(member.run(PATIENCE, |member| member.rebalances.len() == 3 && member.owned.len() == 2), "{group}");
        let kinds: Vec<_> = member.rebalances.iter().map(|(kind, _, lost)| (*kind, *lost)).collect();
        let lost = [(RebalanceKind::Assign, false), (RebalanceKind::Revoke, true), (RebalanceKind::Assign, false)];
        assert_eq!(kinds, lost, "{group}");
        let told = member.errors.iter().any(|error| error.code == ErrorCode(-147));
        assert!(told, "{group}: RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED is not among {:?}", member.errors);
        assert!(member.run(PATIENCE, |member| member.count == 20 + 6 + 10), "{group}: {}", member.count);
        member.close();
    }
}

/// Trap 10: with the classic protocol a commit while others join must not make everybody join again, and again.
#[test]
fn commits_while_another_member_joins_bring_no_further_rebalance() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 4);
    fill(&mock, 4, 10);
    let mut first = Member::join(&mock.bootstrap(), &settings("g", "first", GroupProtocol::Classic), &[TOPIC]);
    assert!(first.run(PATIENCE, |member| member.count == 40));
    let mut second = Member::join(&mock.bootstrap(), &settings("g", "second", GroupProtocol::Classic), &[TOPIC]);
    let (begin, mut settled) = (Instant::now(), None);
    // Commits go on all the while, and for a second after each has its half.
    while settled.is_none_or(|settled: Instant| settled.elapsed() < Duration::from_secs(1)) {
        assert!(begin.elapsed() < PATIENCE, "{:?} and {:?}", first.rebalances, second.rebalances);
        let owned: Vec<_> = first.owned.iter().map(|partition| commit(partition.partition, 5, b"x")).collect();
        if !owned.is_empty() {
            let _refused_or_not = first.commit(&owned);
        }
        second.run(Duration::from_millis(20), |_| false);
        if settled.is_none() && (first.owned.len(), second.owned.len()) == (2, 2) {
            settled = Some(Instant::now());
        }
    }
    let with_partitions = |member: &Member| member.rebalances.iter().filter(|(_, count, _)| *count > 0).count();
    assert_eq!(
        (with_partitions(&first), with_partitions(&second)),
        (2, 1),
        "{:?} {:?}",
        first.rebalances,
        second.rebalances
    );
    assert!(first.rebalances.len() + second.rebalances.len() <= 8, "{:?} {:?}", first.rebalances, second.rebalances);
    first.close();
    second.close();
}

/// Two members of the classic protocol, of which the first is asked for partitions and does not answer. They subscribe to a topic that
/// is not there yet, too.
fn asked_for_partitions(mock: &Mock) -> (Member, Member) {
    mock.topic(TOPIC, 4);
    let settings = |client_id| ConsumerSettings {
        session_timeout: Duration::from_secs(4), // as long as the mock cluster waits for those who have to join again
        ..support::settings("g", client_id, GroupProtocol::Classic)
    };
    let often = [("topic.metadata.refresh.interval.ms", "100"), ("heartbeat.interval.ms", "500")];
    let often = often.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let connection = Connection::resolve(Some(&mock.bootstrap()), None, None, &often).unwrap();
    let join = |name| Member::join_by(&connection, &settings(name), &[TOPIC, LATER]);
    let mut first = join("first");
    assert!(first.run(PATIENCE, |member| member.owned.len() == 4), "{:?}", first.rebalances);
    first.hold_revocations = true;
    let mut second = join("second");
    assert!(run_both(&mut first, &mut second, |first, _| !first.held.is_empty()), "{:?}", first.rebalances);
    (first, second)
}

/// The first is told that it must begin anew, and leaves; then the second has everything.
fn begins_anew(mut first: Member, mut second: Member) {
    let told = |first: &Member, _: &Member| first.errors.iter().any(|error| error.fatal);
    assert!(run_both(&mut first, &mut second, told), "{:?} {:?}", first.rebalances, first.errors);
    assert_eq!(first.errors.iter().find(|error| error.fatal).unwrap().code, ErrorCode::STATE);
    let first = std::thread::spawn(|| first.consumer.leave());
    assert!(second.run(PATIENCE, |second| second.owned.len() == 6), "{:?}", second.rebalances);
    assert!(first.join().unwrap(), "it leaves, whatever librdkafka believes of itself");
    second.close();
}

/// Whoever is asked for partitions and sees the metadata of its topics change before it has answered joins again all the same, with
/// the classic protocol, and is of no use to its group any more. It is told, and leaves at once although nobody waits for it.
#[test]
fn a_topic_that_appears_while_a_revocation_is_unanswered_costs_the_consumer_and_no_partition() {
    let mock = Mock::new(1);
    let (first, second) = asked_for_partitions(&mock);
    mock.topic(LATER, 2);
    begins_anew(first, second);
}

/// The same when it answers in the middle of joining again: that comes too late.
#[test]
fn a_revocation_that_is_answered_while_the_client_joins_again_costs_the_consumer_too() {
    let mock = Mock::new(1);
    let (mut first, mut second) = asked_for_partitions(&mock);
    mock.count_requests();
    mock.topic(LATER, 2);
    assert!(run_both(&mut first, &mut second, |_, _| mock.counted(Request::JoinGroup) >= 2), "both join again");
    first.hold_revocations = false;
    first.release_held();
    begins_anew(first, second);
}

/// Turns both loops until `done`; whether it was done in time.
fn run_both(first: &mut Member, second: &mut Member, done: impl Fn(&Member, &Member) -> bool) -> bool {
    let begin = Instant::now();
    while !done(first, second) {
        if begin.elapsed() > PATIENCE {
            return false;
        }
        first.run(Duration::from_millis(20), |_| false);
        second.run(Duration::from_millis(20), |_| false);
    }
    true
}

/// Trap 12: null is not empty, and headers may repeat, be null, and have no text for a name.
#[test]
fn a_record_arrives_as_it_was_sent() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 1);
    let headers: Headers<'_> = &[(b"a", Some(b"1")), (b"a", None), (b"b", Some(b"")), (b"a", Some(b"\xff"))];
    send(&mock, 0, &[(None, None, &[]), (Some(b""), Some(b""), headers), (Some(b"\xff\0"), None, headers)]);
    let mut member = Member::join(&mock.bootstrap(), &settings("g", "m", GroupProtocol::Consumer), &[TOPIC]);
    assert!(member.run(PATIENCE, |member| member.count == 3));
    let seen: Vec<_> = member.records.iter().map(|seen| (seen.key.as_deref(), seen.value.as_deref())).collect();
    assert_eq!(seen, [(None, None), (Some(&b""[..]), Some(&b""[..])), (Some(&b"\xff\0"[..]), None)]);
    let kept = |index: usize| {
        let seen: &support::Seen = &member.records[index];
        seen.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
    };
    let sent: Vec<_> = headers.iter().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect();
    assert_eq!((kept(0), kept(1), kept(2)), (Vec::new(), sent.clone(), sent));
    member.close();
}
