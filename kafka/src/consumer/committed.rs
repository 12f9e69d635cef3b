//! Committed offsets, asked for on a thread of its own for each question.
//!
//! librdkafka can ask without waiting only as an admin call, and an admin call that waits for a coordinator aborts the
//! process when it times out and the coordinator then returns (librdkafka #4605, #3663). The consumer's own call is sound,
//! but waits; questions are rare, one for an assignment, so each has a thread for as long as it takes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::types::{Committed, CommittedPart};
use crate::error::{ErrorCode, KafkaError};
use crate::native::client::{Client, c_string};
use crate::native::partitions::PartitionList;
use crate::record::TopicPartition;
use crate::wake::Waker;

/// One answer.
pub(super) struct Answer {
    pub(super) seq: u64,
    pub(super) result: Result<Vec<CommittedPart>, KafkaError>,
}

/// Answers that wait for the consumer's thread.
#[derive(Clone)]
pub(super) struct Questions(Arc<Shared>);

struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    some: AtomicBool,
    waker: Waker,
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Questions").field("answered", &self.some()).finish_non_exhaustive()
    }
}

impl Questions {
    pub(super) fn new(waker: Waker) -> Self {
        Self(Arc::new(Shared { answers: Mutex::default(), some: AtomicBool::new(false), waker }))
    }

    /// Asks, and returns at once.
    pub(super) fn ask(
        &self,
        client: &Arc<Client>,
        seq: u64,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        if partitions.is_empty() {
            self.answer(Answer { seq, result: Ok(Vec::new()) });
            return Ok(());
        }
        let (questions, client, partitions) = (self.clone(), Arc::clone(client), partitions.to_vec());
        let answer = move || {
            let result = committed(&client, &partitions, timeout);
            // First the client, then the answer: whoever got it may count on no other user of the client.
            drop(client);
            questions.answer(Answer { seq, result });
        };
        let spawned = std::thread::Builder::new().name("kafka-committed".to_owned()).spawn(answer);
        spawned.map(drop).map_err(|error| KafkaError {
            code: ErrorCode::STATE,
            text: format!("no thread to ask for committed offsets on: {error}"),
            fatal: false,
        })
    }

    /// There is an answer.
    pub(super) fn some(&self) -> bool {
        self.0.some.load(SeqCst)
    }

    pub(super) fn next(&self) -> Option<Answer> {
        if !self.some() {
            return None;
        }
        let mut answers = self.answers();
        let answer = answers.pop_front();
        self.0.some.store(!answers.is_empty(), SeqCst);
        answer
    }

    fn answer(&self, answer: Answer) {
        let mut answers = self.answers();
        answers.push_back(answer);
        self.0.some.store(true, SeqCst);
        drop(answers);
        self.0.waker.wake();
    }

    fn answers(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn committed(
    client: &Client,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<CommittedPart>, KafkaError> {
    let mut list = PartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add(&c_string(&partition.topic)?, partition.partition);
    }
    client.committed(&list, timeout)?;
    let parts = partitions.iter().zip(list.iter()).map(|(partition, entry)| {
        let committed = entry.result().map(|()| {
            entry.offset().map(|offset| Committed {
                offset,
                leader_epoch: entry.leader_epoch(),
                metadata: entry.metadata().to_vec(),
            })
        });
        (partition.clone(), committed)
    });
    Ok(parts.collect())
}
