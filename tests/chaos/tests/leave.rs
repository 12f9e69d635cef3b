//! Leaving a group, on a real broker, on the lab that all tests share (`LAB_DIR`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use penstock_kafka::admin::GroupState;
use stage::Stage;

/// With the classic protocol librdkafka itself leaves such a member in the group until its session ends, and whoever joins waits.
#[test]
fn a_worker_without_partitions_is_out_of_its_group_when_it_ends() {
    let stage = Stage::new("leave", 1);
    let pipeline = stage.pipeline(stage.serve(|_| 204), "", "ordering: Key");
    let members = |count: usize| {
        let group = stage.cluster.group(&stage.name);
        group.is_some_and(|group| group.state == GroupState::Stable && group.members.len() == count)
    };
    let first = stage.start(&pipeline);
    stage.wait("the first member", || members(1));
    let mut second = stage.start(&pipeline);
    stage.wait("the second member, which gets nothing", || members(2));
    assert_eq!(second.stop(), Some(0));
    let group = stage.cluster.group(&stage.name).unwrap();
    assert_eq!(group.members.len(), 1, "{group:?}");
    drop(first);
    stage.end();
}
