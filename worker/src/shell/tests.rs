//! The shell between a model of Kafka and a model of a processor. The engine has its own, far larger simulation; here the
//! wiring is on trial: that effects are carried out once and in order, and every answer finds its question.

mod kafka;
mod processor;
mod silence;
mod world;

use std::time::Duration;

use penstock_crds::checkpoint::HoldReason;
use penstock_kafka::TopicPartition;
use penstock_kafka::consumer::{Rebalance, RebalanceKind, StartAt};

use self::kafka::{Letters, ModelKafka, Silence};
use self::processor::Says;
use self::world::{Chaos, World};
use crate::kafka::KafkaIo;
use crate::metrics::Metrics;

#[test]
fn quiet_days_end_in_order() {
    let mut world = World::new(1, Chaos::none());
    world.run_until_done();
    assert_eq!(world.stop(), Some(true));
    assert_eq!(world.shell.io.count("rebuild"), 0);
}

#[test]
fn every_record_is_done_once_per_success_whatever_happens() {
    for seed in 0..1000 {
        let mut world = World::new(seed, Chaos::all());
        world.run_until_done();
        assert!(world.stop().is_some(), "seed {seed}");
    }
}

#[test]
fn a_processor_that_answers_at_once_does_every_record_too() {
    let mut at_once = 0;
    for seed in 0..300 {
        let mut world = World::new(seed, Chaos::all());
        world.shell.calls.quick = true;
        world.run_until_done();
        assert!(world.stop().is_some(), "seed {seed}");
        at_once += world.shell.calls.answered_at_once;
    }
    assert!(at_once > 300 * 10, "only {at_once} records were answered at once");
}

#[test]
fn revoked_partitions_are_released_after_their_calls_and_commits() {
    let mut world = World::new(7, Chaos::none());
    world.run_for(Duration::from_millis(100));
    assert!(world.shell.calls_in_progress > 0, "the test needs calls in progress");
    world.shell.io.revoke_all();
    world.run_for(Duration::from_secs(3));
    assert!(world.shell.io.assigned().is_empty());
    world.everything_acknowledged_is_committed();
}

#[test]
fn a_loss_that_overtakes_a_revocation_ends_it() {
    let mut world = revoking(13, ModelKafka::revoke_all);
    world.shell.io.lose_all();
    world.run_for(Duration::from_millis(50));
    assert!(!world.shell.assignments.is_rebalancing());
    world.shell.calls.stuck = false;
    world.run_for(Duration::from_secs(1));
}

#[test]
fn a_partition_that_stays_is_taken_again_after_a_revocation_and_not_within() {
    let mut world = revoking(14, |io| io.revoke(0));
    let kept = TopicPartition::new("orders", 1);
    let (tp, seq) = world.shell.partitions.reading().find(|one| one.name == kept).map(|one| (one.tp, one.seq)).unwrap();
    let offset = world.shell.io.position(&kept).unwrap();
    world.shell.assign(tp, seq, StartAt { partition: kept, offset, leader_epoch: None });
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.shell.io.count("seek"), 0);
    world.shell.calls.stuck = false;
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.shell.io.count("seek"), 1);
}

/// A world in which calls in progress hold up a revocation.
fn revoking(seed: u64, revoke: impl FnOnce(&mut ModelKafka)) -> World {
    let mut world = World::new(seed, Chaos::none());
    world.run_for(Duration::from_millis(100));
    world.shell.calls.stuck = true;
    world.run_for(Duration::from_millis(50));
    revoke(&mut world.shell.io);
    world.run_for(Duration::from_millis(50));
    assert!(world.shell.assignments.is_rebalancing(), "the test needs a revocation that waits");
    world
}

#[test]
fn a_failed_consumer_is_made_anew_and_goes_on() {
    let mut world = World::new(3, Chaos::none());
    world.run_for(Duration::from_millis(200));
    world.shell.io.fail();
    world.run_until_done();
    assert_eq!(world.shell.io.count("rebuild"), 1);
    assert_eq!(world.stop(), Some(true));
}

#[test]
fn what_a_consumer_is_given_after_it_failed_is_not_taken() {
    let mut world = World::new(3, Chaos::none());
    // Once more within a minute, and the next one is not made at once.
    for _ in 0..2 {
        world.run_for(Duration::from_millis(100));
        world.shell.io.fail();
    }
    world.run_for(Duration::from_millis(100));
    assert!(world.shell.assignments.rebuild_at().is_some(), "the test needs a worker without a consumer");
    let partitions = vec![TopicPartition::new("orders", 1)];
    let given = Rebalance { kind: RebalanceKind::Assign, partitions, assignment_lost: false, seq: 9 };
    world.shell.rebalance(&given, world.now);
    assert_eq!(world.shell.partitions.owned(), [], "it may be another worker's by now");
    world.run_until_done();
}

#[test]
fn a_consumer_that_fails_while_the_worker_stops_is_not_made_anew() {
    let mut world = World::new(3, Chaos::none());
    world.run_for(Duration::from_millis(100));
    world.shell.calls.stuck = true;
    world.run_for(Duration::from_millis(50));
    world.shell.io.fail();
    assert!(world.stop().is_some(), "it ends");
    assert_eq!(world.shell.io.count("rebuild"), 0);
}

#[test]
fn what_a_failed_producer_did_not_confirm_is_sent_by_another() {
    let mut world = World::new(3, Chaos::none());
    while !world.shell.io.fail_producer() {
        world.run_for(Duration::from_millis(1));
    }
    world.run_until_done();
    assert_eq!(["rebuild producer", "rebuild"].map(|what| world.shell.io.count(what)), [1, 0]);
    assert_eq!(world.stop(), Some(true));
}

#[test]
fn what_finds_the_producer_full_waits_and_is_not_lost() {
    let mut world = World::new(3, Chaos::none());
    world.shell.io.full = true;
    world.run_for(Duration::from_secs(2));
    assert!(world.shell.metrics.forwards_in_progress.get() > 0, "the test needs dead letters that wait");
    world.shell.io.full = false;
    world.run_until_done();
    assert_eq!(world.stop(), Some(true));
}

#[test]
fn what_a_broker_refuses_in_company_is_written_alone() {
    let mut world = World::new(3, Chaos::none());
    world.shell.io.batch_max = 1;
    world.run_until_done();
    let letters = |result| world.shell.metrics.forwards.with_label_values(&["dead_letter", result]).get();
    let alone = u64::from(world.shell.io.count("alone"));
    assert!(alone > 0 && letters("failed") == alone && letters("ok") == alone, "{alone} letters");
    assert_eq!(letters("refused"), 0);
    assert_eq!(world.stop(), Some(true));
}

#[test]
fn dead_letters_follow_their_topic_as_it_grows() {
    let mut world = World::new(4, Chaos::none());
    // With each 20 records that can be read partition 2 has one more dead letter.
    let mut go_on = |(now, heard), readable, seconds| {
        let io = &mut world.shell.io;
        (io.letters, io.readable) = (Letters { began: 2, now, heard }, readable);
        world.run_for(Duration::from_secs(seconds));
        ["counted", "by key", "unheard"].map(|what| world.shell.io.count(what))
    };
    assert_eq!(go_on((2, 2), 20, 20), [2, 1, 0], "asked when the partition came, and by the letter; not answered");
    assert_eq!(go_on((3, 2), 40, 50), [2, 2, 0], "not again so soon");
    assert_eq!(go_on((3, 2), 60, 20), [3, 3, 0], "asked again");
    assert_eq!(go_on((3, 2), 80, 20), [3, 4, 1], "the producer has not heard of it");
    assert_eq!(go_on((3, 3), 100, 60), [3, 5, 1], "and is not asked again so soon");
    assert_eq!(go_on((3, 3), world::RECORDS, 20), [3, 5, 1]);
    world.run_until_done();
    assert_eq!(world.shell.metrics.forwards.with_label_values(&["dead_letter", "failed"]).get(), 0);
    assert_eq!(world.stop(), Some(true));
}

#[test]
fn stopping_waits_for_calls_and_leaves_what_it_did_not_start() {
    let mut world = World::new(11, Chaos::none());
    world.run_for(Duration::from_millis(100));
    assert!(world.shell.calls_in_progress > 0, "the test needs calls in progress");
    assert_eq!(world.stop(), Some(true));
    assert_eq!(world.shell.calls_in_progress, 0);
    world.everything_acknowledged_is_committed();
}

#[test]
fn calls_that_outlast_the_drain_cut_it_short_or_are_cancelled() {
    let mut world = World::new(5, Chaos::none());
    world.shell.calls.stuck = true;
    world.run_for(Duration::from_millis(200));
    let ended = world.stop();
    assert!(ended.is_some(), "it ends by its deadline all the same");
    world.everything_acknowledged_is_committed();
}

#[test]
fn what_is_held_stays_within_the_window() {
    let mut world = World::new(2, Chaos::none());
    world.shell.calls.stuck = true;
    world.run_for(Duration::from_secs(2));
    let held: u64 = world.shell.engine.partitions(world.now).map(|partition| partition.held_bytes).sum();
    // The first fetch does not know yet how large records are and may overdraw by as much as it was given.
    assert!(held > world::WINDOW_BYTES / 2 && held <= 2 * world::WINDOW_BYTES, "{held} bytes are held");
    world.shell.calls.stuck = false;
    world.run_until_done();
}

#[test]
fn the_concurrency_that_is_told_is_the_one_in_force() {
    let mut world = World::new(3, Chaos::none());
    let told = |world: &World| gauge(world, "concurrency");
    world.run_for(Duration::from_millis(100));
    assert_eq!(told(&world), world::CONCURRENCY);
    world.shell.calls.says = Some(Says::Overload);
    world.run_for(Duration::from_millis(300));
    // Without answers the limit stays, and it is told once a second.
    world.shell.calls.stuck = true;
    world.run_for(Duration::from_millis(1100));
    let in_force = world.shell.engine.view().concurrency;
    assert!(in_force < world::CONCURRENCY, "the test needs a processor that has asked for less");
    assert_eq!(told(&world), in_force);
    (world.shell.calls.stuck, world.shell.calls.says) = (false, None);
    world.run_until_done();
}

#[test]
fn a_processor_whose_circuit_is_open_is_told_as_down() {
    let mut world = World::new(3, Chaos::none());
    world.run_for(Duration::from_millis(100));
    assert_eq!(gauge(&world, "processor_up"), 1);
    world.shell.calls.says = Some(Says::Unavailable);
    world.run_for(Duration::from_secs(2));
    assert_eq!(gauge(&world, "processor_up"), 0);
    world.shell.calls.says = None;
    world.run_until_done();
    world.run_for(Duration::from_secs(1));
    assert_eq!(gauge(&world, "processor_up"), 1);
}

/// What a scrape would say.
fn gauge(world: &World, name: &str) -> u32 {
    let text = world.shell.metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("penstock_worker_{name} "))).unwrap();
    line.parse().unwrap()
}

/// How often silent partitions were brought back, by what.
fn recoveries(metrics: &Metrics) -> [u64; 3] {
    ["look", "reassign", "rebuild"].map(|by| metrics.stall_recoveries.with_label_values(&[by]).get())
}

/// A world in which partition 1 falls silent after a while.
fn fallen_silent(silence: Silence) -> World {
    let mut world = World::new(4, Chaos::none());
    world.run_for(Duration::from_millis(100));
    assert!(world.shell.io.committed_offset(1) < world::RECORDS, "the test needs records that are left");
    world.shell.io.silent.insert(1, silence);
    world.run_for(Duration::from_secs(29));
    assert_eq!(recoveries(&world.shell.metrics), [0, 0, 0], "not at once");
    world
}

#[test]
fn a_lost_signal_is_made_up_for_by_a_look() {
    let mut world = fallen_silent(Silence::Signal);
    world.run_until_done();
    assert_eq!(recoveries(&world.shell.metrics), [1, 0, 0]);
    assert_eq!(world.shell.io.count("asked"), 0);
}

#[test]
fn a_silent_queue_is_split_anew_and_nothing_is_lost_or_done_again() {
    let mut world = fallen_silent(Silence::Queue);
    world.run_until_done();
    assert_eq!(recoveries(&world.shell.metrics), [0, 1, 0]);
    assert_eq!(world.shell.engine.counters().received_again, 0);
    assert_eq!(world.shell.io.count("rebuild"), 0);
}

#[test]
fn a_consumer_that_stays_silent_is_made_anew() {
    let mut world = fallen_silent(Silence::Client);
    world.run_until_done();
    assert_eq!(recoveries(&world.shell.metrics), [0, 2, 1]);
    assert_eq!(world.shell.io.count("rebuild"), 1);
}

#[test]
fn a_partition_that_was_given_in_a_lost_answer_is_joined_for_again() {
    let mut world = World::new(4, Chaos::none());
    world.run_for(Duration::from_millis(100));
    world.shell.io.revoke(1);
    world.run_for(Duration::from_secs(3));
    assert!(world.shell.io.committed_offset(1) < world::RECORDS, "the test needs records that are left");
    world.shell.io.mislay(1);
    world.run_until_done();
    assert_eq!(["given", "rebuild"].map(|what| world.shell.io.count(what)), [3, 1], "the first was not answered");
    assert_eq!(world.shell.metrics.stall_recoveries.with_label_values(&["rejoin"]).get(), 1);
    assert_eq!(world.stop(), Some(true));
}

#[test]
fn a_lost_answer_in_which_there_was_nothing_costs_a_question() {
    let mut world = World::new(4, Chaos::none());
    world.run_for(Duration::from_millis(100));
    world.shell.io.lose_an_answer();
    world.run_for(Duration::from_secs(60));
    assert_eq!(["given", "rebuild"].map(|what| world.shell.io.count(what)), [2, 0], "the first was not answered");
}

#[test]
fn an_offset_that_is_lost_is_asked_about_without_haste_and_stops_its_partition_alone() {
    let mut world = World::new(4, Chaos::none());
    world.run_for(Duration::from_millis(100));
    world.shell.io.lost.insert(1);
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.shell.io.count("ends"), 3, "the first two were not answered");
    let holds = world.shell.engine.partitions(world.now).map(|partition| partition.hold);
    assert_eq!(holds.collect::<Vec<_>>(), [None, Some(HoldReason::DataLoss), None]);
    assert_eq!([0, 2].map(|partition| world.shell.io.committed_offset(partition)), [world::RECORDS; 2]);
}

#[test]
fn an_open_transaction_is_no_silence() {
    let mut world = World::new(6, Chaos::none());
    world.shell.io.readable = 70;
    world.run_for(Duration::from_secs(200));
    assert!(world.shell.io.count("asked") >= 9, "the high watermark says that more is there, so the broker is asked");
    assert_eq!(recoveries(&world.shell.metrics), [0, 0, 0]);
    world.shell.io.readable = world::RECORDS;
    world.run_until_done();
}

#[test]
fn without_credit_nobody_is_silent() {
    let mut world = World::new(2, Chaos::none());
    world.shell.calls.stuck = true;
    world.run_for(Duration::from_secs(2));
    world.shell.io.silent.insert(1, Silence::Queue);
    let spent = world.shell.partitions.reading().filter(|partition| !partition.has_credit()).count();
    assert_eq!(spent, 3, "the test needs windows that are full");
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.shell.io.count("asked"), 0);
}
