//! `penstock-worker redrive` on the lab that all tests share (`LAB_DIR`): what each of its words sends back, and that it is done once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use stage::{Stage, lock};

/// Records of each key, numbered.
const EACH: usize = 3;
/// One record of each in turn. Those of the first two are refused until the processor is mended.
const KEYS: [&str; 3] = ["a", "b", "good"];
/// Whatever fails is a dead letter at once.
const DELIVERY: &str = "ordering: Partition, retry: {maxAttempts: 1}, deadLetter: {maxPercent: 100}";

/// A processor that refuses some records until it is mended.
struct Processor {
    port: u16,
    mended: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Processor {
    fn of(stage: &Stage, refuses: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let (taken, mended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let port = stage.serve({
            let (taken, mended) = (Arc::clone(&taken), Arc::clone(&mended));
            move |request| {
                if !mended.load(SeqCst) && refuses(request.body()) {
                    return 500;
                }
                lock(&taken).push(request.body().to_owned());
                204
            }
        });
        Self { port, mended, taken }
    }

    /// Records that it has taken since the last look.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.taken))
    }
}

/// A broker judges what is written at once by its size, and this topic takes a record or two.
#[test]
fn letters_are_sent_back_one_by_one_where_a_topic_takes_no_more() {
    const LETTERS: usize = 60;
    let stage = Stage::new("redrive-alone", 1);
    let name = stage.name.as_str();
    let processor = Processor::of(&stage, |_| true);
    let pipeline = stage.pipeline(processor.port, "", DELIVERY);
    let record = |number: usize| format!("{number:0>100}");
    stage.produce((0..LETTERS).map(|number| (0, Some("key".to_owned()), record(number))));
    let worker = stage.start(&pipeline);
    stage.wait("the letters", || stage.is_done(name, name));
    processor.mended.store(true, SeqCst);
    stage.cluster.set(name, "max.message.bytes", "400").unwrap();
    let said = stage.redrive(&pipeline, &["--all"]);
    assert!(said.starts_with(&format!("{LETTERS} letters sent back, 0 left.")), "{said}");
    stage.wait("the end", || stage.is_done(name, name));
    assert_eq!(processor.take(), (0..LETTERS).map(record).collect::<Vec<_>>());
    drop(worker);
    stage.end();
}

/// The topic takes a record no longer that it once took; more letters than a batch are behind it, and others in another partition.
#[test]
fn a_letter_that_cannot_go_back_stays_and_all_others_are_sent_once() {
    const LETTERS: usize = 700;
    let stage = Stage::new("redrive-large", 2);
    let name = stage.name.as_str();
    let processor = Processor::of(&stage, |_| true);
    let pipeline = stage.pipeline(processor.port, "", DELIVERY);
    let record = |number: usize| if number == 6 { format!("{number:0>1000}") } else { number.to_string() };
    stage.produce((0..LETTERS).map(|number| (i32::from(number % 100 == 1), Some("key".to_owned()), record(number))));
    let worker = stage.start(&pipeline);
    stage.wait("the letters", || stage.is_done(name, name));
    processor.mended.store(true, SeqCst);
    stage.cluster.set(name, "max.message.bytes", "400").unwrap();
    let (said, error) = stage.redrive_refused(&pipeline, &["--all"]);
    assert!(error.contains("cannot be sent back, and stays"), "{error}");
    assert!(said.starts_with(&format!("{} letters sent back, 0 left, 1 cannot be sent back", LETTERS - 1)), "{said}");
    let (said, _) = stage.redrive_refused(&pipeline, &["--all"]);
    assert!(said.starts_with("0 letters sent back, 0 left, 1 cannot be sent back"), "{said}");
    stage.wait("the others", || stage.is_done(name, name));
    let mut taken = processor.take();
    taken.sort();
    let mut others: Vec<String> = (0..LETTERS).filter(|number| *number != 6).map(record).collect();
    others.sort();
    assert_eq!(taken, others);
    stage.cluster.set(name, "max.message.bytes", "100000").unwrap();
    let said = stage.redrive(&pipeline, &["--all"]);
    assert!(said.starts_with("1 letters sent back, 0 left."), "{said}");
    stage.wait("the large one", || stage.is_done(name, name));
    assert_eq!(processor.take(), [record(6)]);
    drop(worker);
    stage.end();
}

#[test]
fn letters_are_sent_back_by_key_by_number_all_or_not_at_all() {
    let stage = Stage::new("redrive", 1);
    let name = stage.name.as_str();
    let processor = Processor::of(&stage, |body| !body.starts_with("good"));
    let take = || processor.take();
    let all_done = |what: &str| stage.wait(what, || stage.is_done(name, name));
    let pipeline = stage.pipeline(processor.port, "", DELIVERY);
    stage.produce((0..EACH).flat_map(|number| KEYS.map(|key| (0, Some(key.to_owned()), format!("{key} {number}")))));
    let worker = stage.start(&pipeline);
    all_done("the end");
    assert_eq!(take(), ["good 0", "good 1", "good 2"]);
    processor.mended.store(true, SeqCst);

    let (topic, group) = (format!("{name}.dlq"), format!("{name}.redrive"));
    // Where the source ends, and what the tool remembers.
    let stands = || (stage.cluster.ends(name, 1).unwrap(), stage.cluster.committed(&group, &topic, 1));
    let untouched = (vec![9], Some(vec![0]));
    let mut plan: Vec<String> = ["a", "b", "a", "b", "a", "b"]
        .into_iter()
        .enumerate()
        .map(|(offset, key)| format!("{topic}/0@{offset}: {key} → {name}/0 (exhausted)"))
        .collect();
    plan.push(format!("{topic}/0: 6 letters up to offset 6"));
    plan.push("6 letters would be sent back, 0 left".to_owned());
    assert_eq!(stage.redrive_told(&pipeline, &["--all", "--dry-run"]), plan);
    let said = stage.redrive(&pipeline, &["--key", "a", "--limit", "2", "--dry-run"]);
    assert_eq!((said.as_str(), stands()), ("2 letters would be sent back, 1 left", untouched));

    let said = stage.redrive(&pipeline, &["--key", "a", "--limit", "2"]);
    assert!(said.starts_with("2 letters sent back, 1 left."), "{said}");
    all_done("two of one key");
    assert_eq!(take(), ["a 0", "a 1"]);

    // Nobody waits for it, as somebody would for a parked key's: so it is not even sent.
    let said = stage.redrive(&pipeline, &["--key", "b", "--limit", "1", "--discard"]);
    assert_eq!((said.as_str(), stands().0), ("0 letters sent back, 0 left, 1 dropped", vec![11]));

    // The second of those two lies behind the one that was dropped: no later run sends it once more.
    let said = stage.redrive(&pipeline, &["--all"]);
    assert!(said.starts_with("3 letters sent back, 0 left."), "{said}");
    all_done("the rest");
    assert_eq!(take(), ["b 1", "a 2", "b 2"]);
    assert_eq!(stage.redrive(&pipeline, &["--all"]), "0 letters sent back, 0 left");
    assert_eq!((stands(), stage.letters().len()), ((vec![14], Some(vec![6])), 6), "nothing failed anew");
    drop(worker);
    stage.end();
}
