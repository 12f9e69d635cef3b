//! Unread records that are gone, on a real broker, on the lab that all tests share (`LAB_DIR`): retention overtakes the group, and the
//! topic is deleted and made anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use penstock_crds::checkpoint::{HoldReason, Lost, Place, decode};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use stage::{Stage, Worker, lock};

/// Values that the processor has taken.
type Taken = Arc<Mutex<Vec<usize>>>;

/// A topic of one partition whose records are numbered, and what was taken of them.
struct Story {
    stage: Stage,
    taken: Taken,
    port: u16,
}

impl Story {
    fn new(name: &str) -> Self {
        let (stage, taken) = (Stage::new(name, 1), Taken::default());
        let port = stage.serve({
            let taken = Arc::clone(&taken);
            move |request| {
                lock(&taken).push(request.body().parse().unwrap());
                204
            }
        });
        Self { stage, taken, port }
    }

    fn pipeline(&self, on_offset_loss: &str) -> String {
        self.stage.pipeline(self.port, &format!(", onOffsetLoss: {on_offset_loss}"), "ordering: Partition")
    }

    fn produce(&self, numbers: std::ops::Range<usize>) {
        self.stage.produce(numbers.map(|number| (0, None, number.to_string())));
    }

    /// A worker does everything that is there, and is killed.
    fn work_off(&self, on_offset_loss: &str) {
        let worker = self.stage.start(&self.pipeline(on_offset_loss));
        self.stage.wait("all that is there", || self.stage.is_done(&self.stage.name, &self.stage.name));
        drop(worker);
    }

    /// What was taken since the last look.
    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut lock(&self.taken))
    }

    /// Who made the last commit, and what its checkpoint says to be lost.
    fn told(&self) -> Option<(u64, Lost)> {
        let topic_id = self.stage.cluster.describe(&self.stage.name).unwrap().id;
        let commit = self.stage.commits().pop()?;
        let (offset, leader_epoch) = (commit.offset, commit.leader_epoch);
        let place = Place { cluster_id: &self.stage.cluster.id, topic_id, partition: 0, offset, leader_epoch };
        let checkpoint = decode(&commit.metadata, &place).ok()?;
        let hold = checkpoint.hold.filter(|hold| hold.reason == HoldReason::DataLoss)?;
        Some((checkpoint.owner, hold.lost?))
    }

    /// Waits until an owner behind that one says what is lost; says who.
    fn await_told(&self, before: u64, lost: Lost) -> u64 {
        let told = || self.told().filter(|(owner, _)| *owner > before);
        self.stage.wait("the checkpoint that tells", || told().is_some());
        let (owner, found) = told().unwrap();
        assert_eq!(found, lost);
        owner
    }

    /// A worker has done the first log when the topic is deleted and made anew under it.
    fn made_anew(name: &str, on_offset_loss: &str) -> (Self, Worker) {
        let story = Self::new(name);
        story.produce(0..10);
        let worker = story.stage.start(&story.pipeline(on_offset_loss));
        story.stage.wait("the first log", || story.stage.is_done(&story.stage.name, &story.stage.name));
        assert_eq!(story.take(), (0..10).collect::<Vec<_>>());
        story.stage.cluster.delete(&story.stage.name).unwrap();
        story.stage.cluster.create(&story.stage.name, 1, &[]).unwrap();
        // More records than before, so that the position of the worker, which lives on, is no offset out of range.
        story.produce(100..120);
        (story, worker)
    }

    /// What retention does, in no time.
    fn delete_before(&self, offset: i64) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.stage.cluster.bootstrap);
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(&self.stage.name, 0, Offset::Offset(offset)).unwrap();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.delete_records(&before, &options)).unwrap();
    }
}

#[test]
fn what_retention_took_stops_the_partition_until_somebody_says_resume() {
    let story = Story::new("retention");
    story.produce(0..10);
    story.work_off("Stop");
    assert_eq!(story.take(), (0..10).collect::<Vec<_>>());
    story.produce(10..60);
    story.delete_before(40);

    let stopped = story.stage.start(&story.pipeline("Stop"));
    story.await_told(0, Lost { wanted: 10, found: 40 });
    drop(stopped);
    assert_eq!(story.take(), Vec::<usize>::new(), "nothing is skipped without a word");

    story.work_off("Resume");
    assert_eq!(story.take(), (40..60).collect::<Vec<_>>());
    story.stage.end();
}

#[test]
fn a_topic_that_was_made_anew_is_another_log() {
    let (story, worker) = Story::made_anew("anew", "Resume");
    story.stage.wait("the other log", || lock(&story.taken).len() >= 20);
    assert_eq!(story.take(), (100..120).collect::<Vec<_>>());
    drop(worker);
    story.stage.end();
}

#[test]
fn a_topic_that_was_made_anew_stops_the_partition_until_somebody_says_resume() {
    let (story, worker) = Story::made_anew("anew-stop", "Stop");
    let lost = Lost { wanted: 10, found: 0 };
    let owner = story.await_told(0, lost);
    drop(worker);

    // Nobody has decided, so the next worker goes on with nothing either.
    let next = story.stage.start(&story.pipeline("Stop"));
    story.await_told(owner, lost);
    drop(next);
    assert_eq!(story.take(), Vec::<usize>::new(), "nothing is skipped without a word");

    story.work_off("Resume");
    assert_eq!(story.take(), (100..120).collect::<Vec<_>>(), "from where the other log begins");
    story.stage.end();
}
