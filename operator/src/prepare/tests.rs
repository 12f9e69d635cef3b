use std::collections::BTreeMap;
use std::time::Duration;

use penstock_blueprint::Reason;
use penstock_crds::pipeline::DelayTopic;
use penstock_crds::resolve;
use penstock_crds::status::{PinState, PinnedTopic};
use penstock_kafka::TopicPartition;
use penstock_kafka::admin::GroupState;
use penstock_scaling::Timestamp;
use serde_json::json;

use super::*;
use crate::sampling::{GroupFact, PartitionFact, TopicFact};

fn pipeline(ensure: bool) -> Pipeline {
    let mut topic = json!({"name": "orders"});
    if ensure {
        topic["ensure"] = json!({"partitions": 4, "allowGrowth": true});
    }
    let resource = serde_json::from_value(json!({
        "apiVersion": "penstock.dev/v1alpha1", "kind": "ConsumerPipeline",
        "metadata": {"name": "shop", "namespace": "n", "uid": "u"},
        "spec": {
            "kafka": {"bootstrapServers": "k:9092"},
            "source": {"topics": [topic]},
            "processor": {"type": "discard", "discard": {}},
        },
    }))
    .unwrap();
    resolve(&resource).unwrap()
}

/// A sample with topics in place, an empty group, and these offsets committed.
fn sample(committed: &[Option<i64>]) -> Sample {
    let present = |partitions| TopicFact::Present { id: None, partitions };
    let partitions = u32::try_from(committed.len()).unwrap();
    let facts = (0..).zip(committed).map(|(number, offset)| {
        let fact = PartitionFact { committed: Some(*offset), ..PartitionFact::default() };
        (TopicPartition::new("orders", number), fact)
    });
    Sample {
        cluster_id: Some("c".to_owned()),
        topics: BTreeMap::from([
            ("orders".to_owned(), present(partitions)),
            ("n.shop.dlq".to_owned(), present(partitions)),
        ]),
        partitions: facts.collect(),
        group: Some(GroupFact { state: GroupState::Empty, members: vec![], at: Timestamp::default() }),
        ..Sample::default()
    }
}

fn pinned(offsets: &[i64]) -> Vec<PinnedTopic> {
    vec![PinnedTopic { topic: "orders".to_owned(), offsets: offsets.to_vec() }]
}

fn recorded(pin: PinState, start: &[i64], resting: &[i64]) -> SourceStatus {
    SourceStatus {
        cluster_id: Some("c".to_owned()),
        group_protocol: Some("consumer".to_owned()),
        pin: Some(pin),
        pinned: pinned(start),
        resting: if resting.is_empty() { vec![] } else { pinned(resting) },
    }
}

fn look(source: &SourceStatus, sample: &Sample, workers_seen: bool) -> Preparation {
    prepare(
        &pipeline(false),
        &Evidence {
            source,
            sample: Some(sample),
            rival: None,
            workers_seen,
            offsets_since: Timestamp::default(),
            configure: Configure::Later,
        },
    )
}

#[test]
fn a_new_group_is_pinned_before_the_first_worker_in_two_steps() {
    let first = look(&SourceStatus::default(), &sample(&[None, None]), false);
    assert_eq!((first.gate, first.chore), (Gate::Hold, Some(Chore::Settle { keep: false })));
    let intended = recorded(PinState::Intended, &[5, 7], &[]);
    let second = look(&intended, &sample(&[None, None]), false);
    assert_eq!((second.gate, second.chore), (Gate::Hold, Some(Chore::Pin(pinned(&[5, 7])))));
    let done = look(&recorded(PinState::Done, &[5, 7], &[5, 7]), &sample(&[Some(5), Some(7)]), false);
    assert_eq!((done.gate, done.chore), (Gate::Open, None));
}

#[test]
fn a_group_with_offsets_keeps_them() {
    let first = look(&SourceStatus::default(), &sample(&[Some(3), None]), false);
    assert_eq!(first.chore, Some(Chore::Settle { keep: true }));
}

#[test]
fn nothing_is_decided_while_an_offset_is_unknown() {
    let mut unknown = sample(&[None, None]);
    unknown.partitions.entry(TopicPartition::new("orders", 1)).and_modify(|fact| fact.committed = None);
    let first = look(&SourceStatus::default(), &unknown, false);
    assert_eq!((first.gate, first.chore), (Gate::Hold, None));
    let no_sample = Evidence {
        source: &SourceStatus::default(),
        sample: None,
        rival: None,
        workers_seen: false,
        offsets_since: Timestamp::default(),
        configure: Configure::Later,
    };
    assert_eq!(prepare(&pipeline(false), &no_sample).gate, Gate::Hold);
}

#[test]
fn offsets_read_before_our_own_change_count_for_nothing() {
    let source = recorded(PinState::Done, &[5], &[5]);
    let old = sample(&[None]);
    let since = Timestamp::from_millis(1);
    let evidence = Evidence {
        source: &source,
        sample: Some(&old),
        rival: None,
        workers_seen: false,
        offsets_since: since,
        configure: Configure::Later,
    };
    let waiting = prepare(&pipeline(false), &evidence);
    assert_eq!((waiting.gate, waiting.chore), (Gate::Hold, None));
}

#[test]
fn offsets_that_expired_at_rest_are_put_back_where_they_were() {
    let resting = recorded(PinState::Done, &[0, 0], &[40, 50]);
    let one_gone = look(&resting, &sample(&[Some(40), None]), false);
    let wanted = vec![PinnedTopic { topic: "orders".to_owned(), offsets: vec![-1, 50] }];
    assert_eq!((one_gone.gate, one_gone.chore), (Gate::Hold, Some(Chore::Restore(wanted))));
}

#[test]
fn offsets_that_vanished_without_a_note_stop_everything() {
    let lost = look(&recorded(PinState::Done, &[0, 0], &[]), &sample(&[Some(40), None]), false);
    assert_eq!((lost.gate, lost.chore), (Gate::Closed, None));
    assert_eq!(lost.obstacles[0].reason, Reason::OffsetsLost);
    assert!(lost.obstacles[0].message.contains("orders/1"));
}

#[test]
fn a_partition_that_came_later_starts_at_its_log_start() {
    let grown = look(&recorded(PinState::Done, &[0, 0], &[4, 5]), &sample(&[Some(4), Some(5), None]), false);
    assert_eq!((grown.gate, grown.chore), (Gate::Open, None));
    assert_eq!(grown.source.resting, pinned(&[4, 5, -1]));
}

#[test]
fn at_rest_the_offsets_are_noted_and_with_workers_the_note_goes() {
    let done = recorded(PinState::Done, &[0], &[0]);
    assert_eq!(look(&done, &sample(&[Some(9)]), false).source.resting, pinned(&[9]));
    let running = look(&done, &sample(&[Some(9)]), true);
    assert_eq!((running.gate, running.source.resting), (Gate::Open, vec![]));
}

#[test]
fn status_that_was_lost_while_workers_run_keeps_what_they_committed_and_changes_nothing_in_kafka() {
    let lost = look(&SourceStatus::default(), &sample(&[Some(1)]), true);
    assert_eq!((lost.gate, lost.chore), (Gate::Hold, Some(Chore::Settle { keep: true })));
    let nothing = look(&SourceStatus::default(), &sample(&[None]), true);
    assert_eq!((nothing.gate, nothing.chore), (Gate::Hold, None));
}

#[test]
fn strangers_in_the_group_are_waited_for_unless_our_workers_run() {
    let mut taken = sample(&[None]);
    let members = vec!["penstock-u".to_owned(), "legacy".to_owned()];
    taken.group = Some(GroupFact { state: GroupState::Stable, members, at: Timestamp::default() });
    let waiting = look(&SourceStatus::default(), &taken, false);
    assert_eq!(waiting.gate, Gate::Closed);
    assert_eq!(waiting.group, Group::Waiting { members: vec!["legacy".to_owned()] });
    assert_eq!(waiting.chore, None);
    let beside = look(&recorded(PinState::Done, &[0], &[]), &taken, true);
    assert_eq!((beside.gate, beside.group), (Gate::Open, Group::Ours));
}

#[test]
fn the_loser_of_a_shared_group_runs_nothing_and_changes_nothing() {
    let source = SourceStatus::default();
    let sample = sample(&[None]);
    let evidence = Evidence {
        source: &source,
        sample: Some(&sample),
        rival: Some("n/old"),
        workers_seen: false,
        offsets_since: Timestamp::default(),
        configure: Configure::Later,
    };
    let lost = prepare(&pipeline(false), &evidence);
    assert_eq!((lost.gate, lost.chore), (Gate::Closed, None));
    assert_eq!(lost.group, Group::InUse { pipeline: "n/old".to_owned() });
}

#[test]
fn a_missing_topic_is_made_where_that_is_wished_and_named_where_it_is_not() {
    let mut missing = sample(&[]);
    missing.topics.insert("orders".to_owned(), TopicFact::Missing);
    let named = look(&SourceStatus::default(), &missing, false);
    assert_eq!((named.gate, named.chore), (Gate::Hold, None));
    assert_eq!(named.obstacles[0].reason, Reason::TopicMissing);
    let source = SourceStatus::default();
    let evidence = Evidence {
        source: &source,
        sample: Some(&missing),
        rival: None,
        workers_seen: false,
        offsets_since: Timestamp::default(),
        configure: Configure::Later,
    };
    let Some(Chore::CreateTopics(topics)) = prepare(&pipeline(true), &evidence).chore else { panic!("no topic") };
    assert_eq!((topics[0].name.as_str(), topics[0].partitions), ("orders", Some(4)));
}

#[test]
fn topics_grow_where_allowed_and_the_dead_letter_topic_with_them() {
    let source = recorded(PinState::Done, &[0, 0], &[0, 0]);
    let small = sample(&[Some(0), Some(0)]);
    let evidence = Evidence {
        source: &source,
        sample: Some(&small),
        rival: None,
        workers_seen: false,
        offsets_since: Timestamp::default(),
        configure: Configure::Later,
    };
    let Some(Chore::GrowTopics(growth)) = prepare(&pipeline(true), &evidence).chore else { panic!("no growth") };
    assert_eq!((growth[0].topic.as_str(), growth[0].total), ("orders", 4));
    let mut behind = sample(&[Some(0), Some(0)]);
    behind.topics.insert("n.shop.dlq".to_owned(), TopicFact::Present { id: None, partitions: 1 });
    let Some(Chore::GrowTopics(growth)) = look(&source, &behind, false).chore else { panic!("no growth") };
    assert_eq!((growth[0].topic.as_str(), growth[0].total), ("n.shop.dlq", 2));
    behind.topics.insert("n.shop.dlq".to_owned(), TopicFact::Missing);
    let made = look(&source, &behind, false);
    let wanted = Chore::CreateDeadLetter { topic: "n.shop.dlq".to_owned(), partitions: 2 };
    assert_eq!((made.gate, made.chore), (Gate::Open, Some(wanted)));
}

#[test]
fn delay_topics_are_made_and_grow_with_the_source() {
    let mut pipeline = pipeline(false);
    let delay = DelayTopic { topic: "n.shop.retry.1m".to_owned(), delay: Duration::from_secs(60) };
    pipeline.delivery.retry.delay_topics = vec![delay.clone()];
    let chore = |topic: Option<TopicFact>| {
        let mut sample = sample(&[Some(0), Some(0)]);
        sample.topics.extend(topic.map(|fact| (delay.topic.clone(), fact)));
        topics::check(&pipeline, &sample, Configure::Later).chore
    };
    let wanted = Chore::CreateDelay { delay: delay.clone(), partitions: 2 };
    assert_eq!(chore(Some(TopicFact::Missing)), Some(wanted));
    let Some(Chore::GrowTopics(growth)) = chore(Some(TopicFact::Present { id: None, partitions: 1 })) else {
        panic!("no growth")
    };
    assert_eq!((growth[0].topic.as_str(), growth[0].total), ("n.shop.retry.1m", 2));
    assert_eq!(chore(Some(TopicFact::Present { id: None, partitions: 2 })), None);
    assert_eq!(chore(None), None, "not asked yet");
    let made = topics::delay(&delay, 2, 1000);
    assert_eq!(made.config["retention.ms"], (7 * 86_400_000 + 60_000).to_string());
    assert_eq!(made.config["message.timestamp.type"], "LogAppendTime");
}

#[test]
fn the_configuration_of_topics_is_seen_to_when_nothing_else_is_to_do() {
    let mut pipeline = pipeline(true);
    let ensure = pipeline.source.topics[0].ensure.as_mut().unwrap();
    ensure.config = Some(BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]));
    let source = recorded(PinState::Done, &[0; 4], &[0; 4]);
    let sample = sample(&[Some(0); 4]);
    let since = Timestamp::default();
    let chore = |configure| {
        let evidence = Evidence {
            source: &source,
            sample: Some(&sample),
            rival: None,
            workers_seen: false,
            offsets_since: since,
            configure,
        };
        prepare(&pipeline, &evidence).chore
    };
    assert_eq!(chore(Configure::Later), None);
    assert!(matches!(chore(Configure::Alter), Some(Chore::Configure { alter: true, .. })));
    assert!(matches!(chore(Configure::Look), Some(Chore::Configure { alter: false, .. })));
}

#[test]
fn dead_letters_are_kept_by_the_time_of_their_arrival() {
    let topic = topics::dead_letter("d", 3, 1000);
    assert_eq!(topic.config["message.timestamp.type"], "LogAppendTime");
    assert_eq!(topic.config["cleanup.policy"], "delete");
    assert_eq!(topic.config["max.message.bytes"], (1000 + 64 * 1024).to_string());
}
