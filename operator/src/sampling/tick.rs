//! One round of questions to one cluster: all the I/O of sampling.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use penstock_kafka::TopicPartition;
use penstock_kafka::admin::{
    AdminClient, AdminError, Answer, Cluster, ConsumerGroup, GroupOffsets, Isolation, OffsetSpec, Topic,
};
use penstock_kafka::settings::ClientConfig;
use penstock_scaling::Timestamp;

use super::CALL_TIMEOUT;
use crate::clock::Clock;

/// OffsetFetch and DescribeGroups calls in flight on one client: measured, 256 keep one client busy at 0.2 ms of CPU a group.
const GROUP_CALLS: usize = 64;

/// A kind of question. Each pipeline has its own due time for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// The cluster's id.
    Cluster,
    /// Partitions of topics.
    Topics,
    /// High watermarks.
    LogEnd,
    /// Last stable offsets.
    StableEnd,
    /// Log start offsets.
    LogStart,
    /// State and members of the group.
    Group,
    /// Committed offsets and checkpoints.
    Offsets,
}

/// What is asked on behalf of one pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub uid: String,
    pub group: String,
    pub topics: Vec<String>,
    pub partitions: Vec<TopicPartition>,
    pub sources: Vec<String>,
    pub read_committed: bool,
    pub asked: BTreeSet<Asked>,
}

/// All that is asked of one client at once.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub config: ClientConfig,
    pub questions: Vec<Question>,
}

pub(super) type Offsets = BTreeMap<TopicPartition, Answer<i64>>;
type Topics = Vec<(String, Answer<Topic>)>;

/// All that came back. `None` where nothing was asked.
pub(super) struct Answers {
    pub config: ClientConfig,
    pub uids: Vec<String>,
    /// When the round began: what fails has failed since then.
    pub began: Timestamp,
    /// When the last answer came.
    pub at: Timestamp,
    pub cluster: Option<Answer<Cluster>>,
    pub topics: Option<Answer<Topics>>,
    pub log_starts: Option<Answer<Offsets>>,
    pub log_ends: Option<Answer<Offsets>>,
    pub stable_ends: Option<Answer<Offsets>>,
    pub groups: BTreeMap<String, (Answer<ConsumerGroup>, Timestamp)>,
    pub offsets: BTreeMap<String, (Answer<GroupOffsets>, Timestamp)>,
}

/// Asks one round. Never fails as a whole: each answer carries its own failure.
pub(super) async fn ask(client: Answer<AdminClient>, round: Round, clock: Clock) -> Answers {
    let mut answers = Answers::none(&round, clock.now());
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            answers.cluster = Some(Err(error));
            return answers;
        }
    };
    let wants = |asked| round.questions.iter().any(|question| question.asked.contains(&asked));
    if wants(Asked::Cluster) {
        answers.cluster = Some(client.describe_cluster(CALL_TIMEOUT).await);
    }
    if wants(Asked::Topics) {
        answers.topics = Some(topics(&client, &round.questions).await);
    }
    let partitions = Partitions { questions: &round.questions, topics: answers.topics.as_ref() };
    let (ends, stable, starts, (groups, offsets)) = futures::join!(
        log(&client, partitions.of(Asked::LogEnd), OffsetSpec::Latest, Isolation::ReadUncommitted),
        log(&client, partitions.of(Asked::StableEnd), OffsetSpec::Latest, Isolation::ReadCommitted),
        log(&client, partitions.of(Asked::LogStart), OffsetSpec::Earliest, Isolation::ReadUncommitted),
        groups(&client, &round.questions, clock),
    );
    answers.log_ends = ends;
    answers.stable_ends = stable;
    answers.log_starts = starts;
    answers.groups = groups;
    answers.offsets = offsets;
    answers.at = clock.now();
    answers
}

impl Answers {
    pub(super) fn none(round: &Round, at: Timestamp) -> Self {
        Self {
            config: round.config.clone(),
            uids: round.questions.iter().map(|question| question.uid.clone()).collect(),
            began: at,
            at,
            cluster: None,
            topics: None,
            log_starts: None,
            log_ends: None,
            stable_ends: None,
            groups: BTreeMap::new(),
            offsets: BTreeMap::new(),
        }
    }
}

async fn topics(client: &AdminClient, questions: &[Question]) -> Answer<Topics> {
    let names: BTreeSet<&str> = questions
        .iter()
        .filter(|question| question.asked.contains(&Asked::Topics))
        .flat_map(|question| question.topics.iter().map(String::as_str))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    client.describe_topics(&names, CALL_TIMEOUT).await
}

/// Which partitions a round asks about: those known before, or as the topics of this very round say.
struct Partitions<'a> {
    questions: &'a [Question],
    topics: Option<&'a Answer<Topics>>,
}

impl Partitions<'_> {
    fn of(&self, asked: Asked) -> BTreeSet<TopicPartition> {
        let questions = self.questions.iter().filter(|question| question.asked.contains(&asked));
        questions.flat_map(|question| self.of_question(question)).collect()
    }

    fn of_question(&self, question: &Question) -> BTreeSet<TopicPartition> {
        let mut partitions: BTreeSet<_> = question.partitions.iter().cloned().collect();
        if let Some(Ok(topics)) = self.topics {
            for (name, answer) in topics.iter().filter(|(name, _)| question.sources.contains(name)) {
                match answer {
                    Ok(topic) => partitions
                        .extend(topic.partitions.iter().map(|one| TopicPartition::new(name.as_str(), one.partition))),
                    Err(AdminError::NotFound(_)) => partitions.retain(|one| *one.topic != **name),
                    Err(_) => {}
                }
            }
        }
        partitions
    }
}

async fn log(
    client: &AdminClient,
    partitions: BTreeSet<TopicPartition>,
    spec: OffsetSpec,
    isolation: Isolation,
) -> Option<Answer<Offsets>> {
    if partitions.is_empty() {
        return None;
    }
    let asked: Vec<_> = partitions.into_iter().map(|partition| (partition, spec)).collect();
    let answer = client.list_offsets(&asked, isolation, CALL_TIMEOUT).await;
    Some(answer.map(|offsets| {
        let known = offsets.into_iter().filter_map(|(partition, answer)| match answer {
            Ok(listed) => listed.offset.map(|offset| (partition, Ok(offset))),
            Err(error) => Some((partition, Err(error))),
        });
        known.collect()
    }))
}

type Groups = BTreeMap<String, (Answer<ConsumerGroup>, Timestamp)>;
type GroupsOffsets = BTreeMap<String, (Answer<GroupOffsets>, Timestamp)>;

async fn groups(client: &AdminClient, questions: &[Question], clock: Clock) -> (Groups, GroupsOffsets) {
    let wanting = |asked: Asked| questions.iter().filter(move |question| question.asked.contains(&asked));
    let described = stream::iter(wanting(Asked::Group).map(|question| async move {
        let answer = client.describe_consumer_group(&question.group, CALL_TIMEOUT).await;
        (question.uid.clone(), (answer, clock.now()))
    }));
    let fetched = stream::iter(wanting(Asked::Offsets).map(|question| async move {
        // Not only stable ones: a transaction that commits offsets would hide what is known already.
        let answer = client.list_consumer_group_offsets(&question.group, None, false, CALL_TIMEOUT).await;
        (question.uid.clone(), (answer, clock.now()))
    }));
    futures::join!(
        described.buffer_unordered(GROUP_CALLS).collect::<BTreeMap<_, _>>(),
        fetched.buffer_unordered(GROUP_CALLS).collect::<BTreeMap<_, _>>()
    )
}
