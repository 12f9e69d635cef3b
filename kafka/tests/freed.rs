//! Trap 1 of ARCHITECTURE.md's list: a list of partitions or a record that somebody still holds keeps a client from ever being freed.
//! Alone in its program, for librdkafka counts the clients of the whole process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "support/mod.rs"]
mod support;

#[path = "support/mock.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod mock;

use std::time::{Duration, Instant};

use mock::Mock;
use penstock_kafka::TopicPartition;
use penstock_kafka::consumer::{CommitOffset, StartAt, wait_freed};
use penstock_kafka::producer::{OutgoingRecord, Producer};
use penstock_kafka::settings::GroupProtocol;
use penstock_kafka::wake::pair;
use support::{Member, PATIENCE, connection, settings};

const TOPIC: &str = "orders";

#[test]
fn a_consumer_that_did_everything_with_lists_is_freed_whether_closed_or_not() {
    let mock = Mock::new(1);
    mock.topic(TOPIC, 2);
    let (_sleeper, waker) = pair();
    let mut producer = Producer::new(&connection(&mock.bootstrap()).producer("test"), waker).unwrap();
    for token in 0..100 {
        let (topic, partition, value) = (TOPIC, Some(0), Some(&b"value"[..]));
        producer
            .send(&OutgoingRecord { topic, partition, key: None, value, headers: &[], timestamp: None }, token)
            .unwrap();
    }
    assert!(producer.flush(PATIENCE, |_| ()));
    drop(producer);
    for closed in [true, false] {
        let group = if closed { "closed" } else { "dropped" };
        let mut member = Member::join(&mock.bootstrap(), &settings(group, "m", GroupProtocol::Consumer), &[TOPIC]);
        assert!(member.run(PATIENCE, |member| member.count == 100));
        let partition = TopicPartition::new(TOPIC, 0);
        let offset = |offset| CommitOffset {
            partition: partition.clone(),
            offset,
            leader_epoch: Some(0),
            metadata: b"checkpoint".to_vec(),
        };
        member.commit(&[offset(10)]);
        member.fetch_committed(std::slice::from_ref(&partition)).result.unwrap();
        member.consumer.seek(&StartAt { partition: partition.clone(), offset: 50, leader_epoch: None }).unwrap();
        assert!(member.run(PATIENCE, |member| member.count == 150));
        // These are still under way when it goes; a question may hold it until its own timeout, and no longer.
        member.consumer.commit(7, &[offset(20)]).unwrap();
        member.consumer.fetch_committed(8, std::slice::from_ref(&partition), Duration::from_secs(2)).unwrap();
        let start = Instant::now();
        if closed {
            member.close();
        } else {
            drop(member);
            assert!(start.elapsed() < Duration::from_secs(1), "dropping waits for nobody");
        }
    }
    drop(mock);
    assert!(wait_freed(Duration::from_secs(30)), "a client is held by something");
}
