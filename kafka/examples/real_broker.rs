//! What this crate promises, against a real Kafka: `cargo run --release -p penstock-kafka --example real_broker -- HOST:PORT`
//! (or `PENSTOCK_LAB_KAFKA`). It makes topics of its own, prints one line for each promise, and ends with 1 at the first that
//! is not kept.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a proof, not a library"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use penstock_kafka::TopicPartition;
use penstock_kafka::admin::{
    AdminClient, AdminError, ConfigResource, GroupState, GroupType, Isolation, NewPartitions, NewTopic, OffsetSpec,
    OffsetToAlter, Topic,
};
use penstock_kafka::consumer::{CommitOffset, RebalanceKind, wait_freed};
use penstock_kafka::producer::{OutgoingRecord, Producer, ProducerEvent, SendError};
use penstock_kafka::record::Timestamp;
use penstock_kafka::settings::GroupProtocol;
use penstock_kafka::wake::pair;
use penstock_kafka::{ErrorCode, KafkaError};

use support::{Confirm, Member, PATIENCE, connection, settings};

const PARTITIONS: u32 = 6;

struct Lab {
    bootstrap: String,
    run: u64,
    admin: AdminClient,
    runtime: tokio::runtime::Runtime,
}

fn main() {
    let bootstrap = std::env::args().nth(1).or_else(|| std::env::var("PENSTOCK_LAB_KAFKA").ok());
    let bootstrap = bootstrap.expect("say which brokers: an argument, or PENSTOCK_LAB_KAFKA");
    let admin = AdminClient::new(&connection(&bootstrap).admin("real-broker")).unwrap();
    let run = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lab = Lab { bootstrap, run, admin, runtime };
    lab.topics();
    lab.bytes_are_kept();
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        lab.group(protocol);
    }
    lab.offsets();
    lab.offset_loss();
    lab.failures();
    drop(lab);
    let start = Instant::now();
    assert!(wait_freed(PATIENCE), "clients are not freed");
    told("every client is freed", start.elapsed());
}

fn told(what: &str, detail: impl std::fmt::Debug) {
    println!("ok  {what}: {detail:?}");
}

impl Lab {
    fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.run)
    }

    fn create(&self, topic: &str, partitions: u32) {
        let new = NewTopic {
            name: topic.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(1),
            config: BTreeMap::from([("retention.ms".to_owned(), "604800000".to_owned())]),
        };
        let created = self.runtime.block_on(self.admin.create_topics(&[new], PATIENCE)).unwrap();
        assert_eq!(created, [(topic.to_owned(), Ok(()))]);
    }

    fn topics(&self) {
        let cluster = self.runtime.block_on(self.admin.describe_cluster(PATIENCE)).unwrap();
        assert!(!cluster.id.is_empty() && !cluster.nodes.is_empty());
        told("cluster", &cluster);
        let protocol = self.runtime.block_on(self.admin.group_protocol(PATIENCE)).unwrap();
        assert_eq!(protocol, GroupProtocol::Consumer);
        told("it offers KIP-848", protocol);
        let topic = self.name("orders");
        self.create(&topic, PARTITIONS - 1);
        let again =
            NewTopic { name: topic.clone(), partitions: None, replication_factor: None, config: BTreeMap::new() };
        let again = self.runtime.block_on(self.admin.create_topics(&[again], PATIENCE)).unwrap();
        assert!(matches!(&again[0].1, Err(AdminError::Kafka(error)) if error.code == ErrorCode::TOPIC_ALREADY_EXISTS));
        let grow = [NewPartitions { topic: topic.clone(), total: PARTITIONS }];
        let grown = self.runtime.block_on(self.admin.create_partitions(&grow, PATIENCE)).unwrap();
        assert_eq!(grown[0].1, Ok(()));
        // Brokers learn of a change a moment after the controller has confirmed it.
        let describe =
            || self.runtime.block_on(self.admin.describe_topics(&[&topic, "no-such-topic"], PATIENCE)).unwrap();
        let grown = |topics: &[(String, Result<Topic, AdminError>)]| {
            let described = topics.iter().find(|(name, _)| *name == topic).unwrap().1.as_ref();
            described.is_ok_and(|described| described.partitions.len() == PARTITIONS as usize)
        };
        let deadline = Instant::now() + PATIENCE;
        let mut topics = describe();
        while !grown(&topics) && Instant::now() < deadline {
            topics = describe();
        }
        let described = topics.iter().find(|(name, _)| *name == topic).unwrap().1.as_ref().unwrap();
        assert_eq!(described.partitions.len(), PARTITIONS as usize);
        assert!(described.id.is_some() && described.partitions.iter().all(|partition| partition.leader.is_some()));
        let missing = &topics.iter().find(|(name, _)| name == "no-such-topic").unwrap().1;
        assert!(matches!(missing, Err(AdminError::NotFound(_))), "{missing:?}");
        told("topics are created, grown and described", described.id.unwrap());

        let set = [("retention.ms", "3600000")];
        self.runtime.block_on(self.admin.alter_topic_config(&topic, &set, PATIENCE)).unwrap();
        let resources = [ConfigResource::Topic(topic.clone()), ConfigResource::Topic("no-such-topic".to_owned())];
        let configs = self.runtime.block_on(self.admin.describe_configs(&resources, PATIENCE)).unwrap();
        let of = |resource: &ConfigResource| &configs.iter().find(|(one, _)| one == resource).unwrap().1;
        let entries = of(&resources[0]).as_ref().unwrap();
        let retention = entries.iter().find(|entry| entry.name == "retention.ms").unwrap();
        assert_eq!((retention.value.as_deref(), retention.is_own), (Some("3600000"), true));
        assert!(of(&resources[1]).is_err());
        let nonsense =
            self.runtime.block_on(self.admin.alter_topic_config(&topic, &[("retention.ms", "soon")], PATIENCE));
        told("configuration is set, read and refused", nonsense.unwrap_err());
    }

    fn produce(&self, records: &[(OutgoingRecord<'_>, u64)]) -> Vec<(u64, i32, i64)> {
        let (sleeper, waker) = pair();
        let mut producer = Producer::new(&connection(&self.bootstrap).producer("real-broker"), waker).unwrap();
        let mut delivered = Vec::new();
        let mut on = |event| match event {
            ProducerEvent::Delivered { token, partition, offset } => delivered.push((token, partition, offset)),
            other => panic!("{other:?}"),
        };
        for (record, token) in records {
            while let Err(error) = producer.send(record, *token) {
                assert_eq!(error, SendError::Full);
                self.runtime.block_on(sleeper.sleep_unless(|| producer.maybe_ready(), || Duration::from_millis(50)));
                while let Some(event) = producer.next_event() {
                    on(event);
                }
            }
        }
        assert!(producer.flush(PATIENCE, on), "not all is delivered");
        assert_eq!(producer.in_flight(), 0);
        assert_eq!(producer.room().bytes, penstock_kafka::producer::MAX_BYTES);
        delivered
    }

    fn bytes_are_kept(&self) {
        let topic = self.name("bytes");
        self.create(&topic, 1);
        let headers: &[(&[u8], Option<&[u8]>)] = &[
            (b"a", Some(b"1")),
            (b"a", Some(b"2")),
            (b"null", None),
            (b"empty", Some(b"")),
            (b"bin", Some(&[0, 255])),
        ];
        let record = |key, value, headers, timestamp| OutgoingRecord {
            topic: &topic,
            partition: Some(0),
            key,
            value,
            headers,
            timestamp,
        };
        let records: [(OutgoingRecord<'_>, u64); 3] = [
            (record(None, None, &[], Some(1_000)), 1),
            (record(Some(b""), Some(b""), headers, Some(2_000)), 2),
            (record(Some(&[0, 1, 254]), Some(b"v"), &[], None), 3),
        ];
        assert_eq!(self.produce(&records).len(), 3);
        let group = self.name("bytes");
        let mut member = Member::join(&self.bootstrap, &settings(&group, "bytes", GroupProtocol::Consumer), &[&topic]);
        assert!(member.run(PATIENCE, |member| member.records.len() == 3), "{:?}", member.errors);
        let [null, empty, plain] = &member.records[..] else { unreachable!() };
        assert_eq!((&null.key, &null.value, null.headers.len()), (&None, &None, 0));
        assert_eq!(null.timestamp, Timestamp::CreateTime(1_000));
        assert_eq!((empty.key.as_deref(), empty.value.as_deref()), (Some(&b""[..]), Some(&b""[..])));
        let kept: Vec<_> = empty.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
        assert_eq!(kept, headers);
        assert_eq!(plain.key.as_deref(), Some(&[0, 1, 254][..]));
        assert!(plain.leader_epoch.is_some());
        let partition = TopicPartition::new(&*topic, 0);
        assert_eq!(member.consumer.position(&partition), Some(3));
        assert_eq!(member.consumer.watermarks(&partition).map(|marks| (marks.low, marks.high)), Some((0, 3)));
        told("null, empty, binary and repeated bytes arrive as sent", member.close());
    }

    /// The life of a group, in one protocol.
    fn group(&self, protocol: GroupProtocol) {
        const RECORDS: u64 = 60_000;
        let topic = self.name(&format!("life-{protocol:?}").to_lowercase());
        self.create(&topic, PARTITIONS);
        let value = [7; 100];
        let records: Vec<_> = (0..RECORDS)
            .map(|token| {
                let partition = i32::try_from(token % u64::from(PARTITIONS)).ok();
                (
                    OutgoingRecord {
                        topic: &topic,
                        partition,
                        key: None,
                        value: Some(&value),
                        headers: &[],
                        timestamp: None,
                    },
                    token,
                )
            })
            .collect();
        assert_eq!(self.produce(&records).len(), records.len());

        let group = self.name(&format!("life-{protocol:?}"));
        let start = Instant::now();
        let mut first = Member::join(&self.bootstrap, &settings(&group, "first", protocol), &[&topic]);
        assert!(first.run(PATIENCE, |member| member.count > 0), "{:?}", first.errors);
        told("first record after subscribing", (protocol, start.elapsed()));
        assert!(first.run(PATIENCE, |member| member.count == usize::try_from(RECORDS).unwrap()), "{}", first.count);

        // Metadata up to the limit, and above it.
        let partition = TopicPartition::new(&*topic, 0);
        let commit = |offset, size| CommitOffset {
            partition: TopicPartition::new(&*topic, 0),
            offset,
            leader_epoch: Some(0),
            metadata: vec![b'm'; size],
        };
        let reply = first.commit(&[commit(1_000, 4_000)]);
        assert_eq!((reply.error, reply.partitions), (None, vec![(partition.clone(), 1_000, Ok(()))]));
        let reply = first.commit(&[commit(2_000, 5_000)]);
        assert_eq!(reply.partitions[0].2, Err(ErrorCode::OFFSET_METADATA_TOO_LARGE));
        let read = first.fetch_committed(&[partition.clone(), TopicPartition::new(&*topic, 1)]).result.unwrap();
        let of = |wanted: &TopicPartition| read.iter().find(|(one, _)| one == wanted).unwrap().1.clone().unwrap();
        let back = of(&partition).unwrap();
        assert_eq!((back.offset, back.leader_epoch, back.metadata.len()), (1_000, Some(0), 4_000));
        assert_eq!(of(&TopicPartition::new(&*topic, 1)), None, "never committed");
        told("4,000 bytes of metadata are kept, 5,000 refused", back.offset);

        let described = self.runtime.block_on(self.admin.describe_consumer_group(&group, PATIENCE)).unwrap();
        let kind = if protocol == GroupProtocol::Consumer { GroupType::Consumer } else { GroupType::Classic };
        assert_eq!((described.state, described.kind), (GroupState::Stable, kind), "{described:?}");
        assert_eq!(described.members[0].client_id, "first");
        assert_eq!(described.members[0].assignment.len(), PARTITIONS as usize);

        // A live group's offsets cannot be altered from outside.
        let alter =
            [OffsetToAlter { partition: partition.clone(), offset: 5, leader_epoch: None, metadata: Vec::new() }];
        let altered = self.runtime.block_on(self.admin.alter_consumer_group_offsets(&group, &alter, PATIENCE));
        let refused = altered.as_ref().map_or_else(Clone::clone, |parts| parts[0].1.clone().unwrap_err());
        told("a live group's offsets are not altered", refused);

        // A second member: the first holds its revocation for a while, then lets go.
        first.hold_revocations = true;
        let mut second = Member::join(&self.bootstrap, &settings(&group, "second", protocol), &[&topic]);
        second.confirm = Confirm::AtOnce;
        second.keep_records = false;
        let held_until = Instant::now() + Duration::from_secs(25);
        while first.held.is_empty() && Instant::now() < held_until {
            first.run(Duration::from_millis(20), |member| !member.held.is_empty());
            second.run(Duration::from_millis(20), |_| false);
        }
        assert!(!first.held.is_empty(), "nothing is revoked: {:?}", first.rebalances);
        let holding = Instant::now();
        while holding.elapsed() < Duration::from_secs(4) {
            first.run(Duration::from_millis(50), |_| false);
            second.run(Duration::from_millis(50), |_| false);
        }
        assert!(second.owned.is_empty(), "partitions have two owners: {:?}", second.owned);
        assert!(!first.consumer.assignment_lost());
        // Committing while a revocation is held is what a drain does at its end.
        let reply = first.commit(&[commit(3_000, 10)]);
        told("a commit under a held revocation", reply.partitions[0].2);
        first.hold_revocations = false;
        first.release_held();
        let both = |first: &Member, second: &Member| first.owned.len() == 3 && second.owned.len() == 3;
        let deadline = Instant::now() + PATIENCE;
        while !both(&first, &second) && Instant::now() < deadline {
            first.run(Duration::from_millis(20), |_| false);
            second.run(Duration::from_millis(20), |_| false);
        }
        assert!(both(&first, &second), "{:?} {:?}", first.owned, second.owned);
        told("a revocation held for 4 s is accepted", holding.elapsed());
        assert!(
            second.run(PATIENCE, |member| member.count > 0),
            "the second member reads nothing: {:?}",
            second.errors
        );

        // Leaving: the last revocation is answered by the same loop.
        told("the first leaves", (first.rebalances.clone(), first.close()));
        assert!(second.run(PATIENCE, |member| member.owned.len() == PARTITIONS as usize), "{:?}", second.rebalances);
        assert!(second.rebalances.iter().all(|(kind, ..)| *kind == RebalanceKind::Assign));
        let before = second.count;
        assert!(second.run(PATIENCE, |member| member.count > before + 9_000), "taken-over partitions deliver nothing");
        let start = Instant::now();
        drop(second);
        told("a member that was not closed is dropped at once", start.elapsed());
        assert!(start.elapsed() < Duration::from_millis(100));
    }

    fn offsets(&self) {
        let topic = self.name("life-consumer");
        let partitions: Vec<_> =
            (0..PARTITIONS).map(|number| TopicPartition::new(&*topic, number.try_into().unwrap())).collect();
        let ask = |spec| {
            let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
            let start = Instant::now();
            let listed =
                self.runtime.block_on(self.admin.list_offsets(&asked, Isolation::ReadCommitted, PATIENCE)).unwrap();
            assert_eq!(listed.len(), partitions.len());
            let listed: Vec<_> = listed.into_iter().map(|(_, offset)| offset.unwrap().offset).collect();
            told("list offsets", (spec, &listed, start.elapsed()));
            listed
        };
        assert!(ask(OffsetSpec::Earliest).iter().all(|offset| *offset == Some(0)));
        assert!(ask(OffsetSpec::Latest).iter().all(|offset| *offset == Some(10_000)));
        assert!(ask(OffsetSpec::Timestamp(0)).iter().all(|offset| *offset == Some(0)));
        assert!(ask(OffsetSpec::Timestamp(i64::MAX / 2)).iter().all(Option::is_none));
        assert!(ask(OffsetSpec::MaxTimestamp).iter().all(Option::is_some));
        let missing = [
            (TopicPartition::new("no-such-topic", 0), OffsetSpec::Latest),
            (partitions[0].clone(), OffsetSpec::Latest),
        ];
        let listed = self.runtime.block_on(self.admin.list_offsets(&missing, Isolation::ReadUncommitted, PATIENCE));
        told("a topic that is not there, beside one that is", listed);

        let group = self.name("pinned");
        let nothing =
            self.runtime.block_on(self.admin.list_consumer_group_offsets(&group, None, true, PATIENCE)).unwrap();
        assert!(nothing.is_empty());
        let absent = self.runtime.block_on(self.admin.describe_consumer_group(&group, PATIENCE)).unwrap();
        assert_eq!(absent.state, GroupState::Dead);
        let pins: Vec<_> = partitions
            .iter()
            .map(|partition| OffsetToAlter {
                partition: partition.clone(),
                offset: 42,
                leader_epoch: Some(0),
                metadata: b"pin".to_vec(),
            })
            .collect();
        let pinned = self.runtime.block_on(self.admin.alter_consumer_group_offsets(&group, &pins, PATIENCE)).unwrap();
        assert!(pinned.iter().all(|(_, pinned)| pinned.is_ok()), "{pinned:?}");
        let read = self
            .runtime
            .block_on(self.admin.list_consumer_group_offsets(&group, Some(&partitions), true, PATIENCE))
            .unwrap();
        for (_, committed) in &read {
            let committed = committed.as_ref().unwrap().as_ref().unwrap();
            assert_eq!((committed.offset, committed.leader_epoch, &committed.metadata[..]), (42, Some(0), &b"pin"[..]));
        }
        let empty = self.runtime.block_on(self.admin.describe_consumer_group(&group, PATIENCE)).unwrap();
        assert_eq!(empty.state, GroupState::Empty);
        told("an absent group's offsets are pinned and read", read.len());

        let start = Instant::now();
        let asks = 500;
        self.runtime.block_on(async {
            for _ in 0..asks {
                self.admin.list_consumer_group_offsets(&group, None, true, PATIENCE).await.unwrap();
            }
        });
        told("one OffsetFetch after the other takes", start.elapsed() / asks);
    }

    fn offset_loss(&self) {
        let topic = self.name("life-consumer");
        let group = self.name("lost");
        let mut member = Member::join(&self.bootstrap, &settings(&group, "lost", GroupProtocol::Consumer), &[&topic]);
        member.beginning = 1_000_000;
        assert!(
            member.run(PATIENCE, |member| member.partition_errors.len() >= PARTITIONS as usize),
            "{:?}",
            member.partition_errors
        );
        let (partition, error) = member.partition_errors[0].clone();
        assert!(error.code.is_offset_lost(), "{error:?}");
        assert_eq!(member.count, 0);
        let to = penstock_kafka::consumer::StartAt { partition, offset: 9_990, leader_epoch: None };
        member.consumer.seek(&to).unwrap();
        let resumed = member.run(Duration::from_secs(5), |member| member.count == 10);
        assert!(resumed, "{}", member.count);
        told("an offset beyond the end is an error, and a seek goes on from elsewhere", error);
        told("and it closes", member.close());
    }

    fn failures(&self) {
        let nobody = AdminClient::new(&connection("127.0.0.1:1").admin("real-broker")).unwrap();
        let start = Instant::now();
        let failed = self.runtime.block_on(nobody.describe_cluster(Duration::from_secs(3))).unwrap_err();
        assert!(matches!(failed, AdminError::Unreachable(_)), "{failed:?}");
        told("nobody there", (failed, start.elapsed()));
        let nowhere = AdminClient::new(&connection("no-such-host.invalid:9092").admin("real-broker")).unwrap();
        let failed =
            self.runtime.block_on(nowhere.list_consumer_group_offsets("g", None, true, Duration::from_secs(3)));
        let failed = failed.unwrap_err();
        assert!(matches!(failed, AdminError::Unreachable(_)), "{failed:?}");
        told("no such host", failed);
        let unknown: KafkaError = KafkaError::of(ErrorCode(9_999));
        told("a code that nobody knows", unknown);
    }
}
