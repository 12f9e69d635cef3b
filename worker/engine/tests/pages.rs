//! What records keep in memory beside themselves counts against the window (L5), and holds up no other key for that (L4).

mod stage;

use penstock_engine::Policy;
use penstock_engine::policy::OnExhausted;
use penstock_engine::seam::{Delivery, ErrorClass, Outcome};
use stage::{Stage, failure};

const WINDOW: u64 = 64 << 10;
/// So many records of a kilobyte are a page.
const BATCH: i64 = 16;

/// Two slots, one of which the first record will have for as long as its story goes.
fn stage() -> Stage {
    let policy = Policy { concurrency: 2, window_bytes: WINDOW, on_exhausted: OnExhausted::Block, ..Policy::default() };
    let mut stage = Stage::of(policy);
    stage.assign();
    stage
}

/// Ends all calls but that of the first record, and those that follow them.
fn work_off(stage: &mut Stage) {
    let is_slow = |call: &Vec<Delivery>| call.iter().any(|one| one.record.offset() == 0);
    loop {
        let (slow, others): (Vec<_>, Vec<_>) = std::mem::take(&mut stage.running).into_iter().partition(is_slow);
        stage.running = others;
        let ended = stage.running.is_empty();
        stage.answer_all(|_| Outcome::Ack);
        stage.running.extend(slow);
        if ended {
            return;
        }
    }
}

/// Reads for as long as there is credit, and how many batches that is.
fn read(stage: &mut Stage, key: impl Fn(i64) -> i64) -> i64 {
    let mut batches = 0;
    while stage.credit > 0 {
        let first = batches * BATCH;
        stage.receive((first..first + BATCH).map(|offset| (offset, format!("{:01000}", key(offset)))));
        work_off(stage);
        batches += 1;
    }
    batches
}

#[test]
fn a_hot_key_leaves_most_of_the_window_to_the_others() {
    let mut stage = stage();
    let batches = read(&mut stage, |offset| if offset % BATCH == 0 { 0 } else { offset });
    assert_eq!(stage.offsets(), [[0]], "the first record of the key");
    assert!(batches >= 12, "the window was full after {batches} batches");
    let held: u64 = stage.engine.partitions(stage.now).map(|partition| partition.held_bytes).sum();
    assert!(held <= WINDOW + WINDOW / 4, "{held} bytes are held");
}

/// Nothing is done then that would say that there is room, and nothing may come any more.
#[test]
fn a_record_that_comes_back_from_its_call_makes_room() {
    let mut stage = stage();
    read(&mut stage, |offset| offset);
    assert_eq!((stage.offsets(), stage.credit), (vec![vec![0]], 0), "the window is full");
    stage.answer_all(|_| Outcome::Retry(failure(ErrorClass::Retry)));
    assert!(stage.credit > WINDOW / 4, "{} bytes", stage.credit);
}
