//! Who is followed, what is due, and the newest samples. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use penstock_crds::ConsumerPipeline;
use penstock_kafka::settings::ClientConfig;
use penstock_scaling::Timestamp;

use super::sample::Sample;
use super::tick::{Answers, Asked, Question, Round};

/// Between two looks at what is due when nothing is: the shortest pace.
const IDLE: Duration = Duration::from_secs(1);
/// Questions that come due within this are asked with the ones that are due now, so that pipelines of one cluster share requests.
const TOGETHER: Duration = Duration::from_millis(250);

/// A question that failed is asked again this soon, however good its answers usually are for.
const AGAIN: Duration = Duration::from_secs(5);

/// How often a pipeline is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Before the first worker: the group's state decides what happens next.
    Preparing,
    /// Workers come or go: the group's state matters, too.
    Changing,
    /// Workers run.
    Active,
    /// At zero: only the log's end can change.
    Resting,
}

/// A pipeline to follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// The pipeline's UID.
    pub uid: String,
    /// Whom to tell of new samples.
    pub pipeline: ObjectRef<ConsumerPipeline>,
    /// The client to ask through.
    pub config: ClientConfig,
    /// Source topics.
    pub sources: Vec<String>,
    /// Other topics whose existence matters: dead letters, output.
    pub targets: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Lag ends at the last stable offset.
    pub read_committed: bool,
    /// How often.
    pub pace: Pace,
}

/// All pipelines that are followed.
#[derive(Default)]
pub struct Book {
    pipelines: BTreeMap<String, Entry>,
}

struct Entry {
    subscription: Subscription,
    sample: Arc<Sample>,
    due: BTreeMap<Asked, Timestamp>,
    /// A tick that asks for this pipeline is under way.
    asking: bool,
}

/// Under which name a pipeline's delay topics and their group are followed: beside it, as if they were another's source.
pub fn of_delays(uid: &str) -> String {
    format!("{uid}/retry")
}

impl Pace {
    /// How long an answer is good for.
    fn interval(self, asked: Asked) -> Duration {
        let seconds = match (asked, self) {
            (Asked::Cluster, _) => 600,
            (Asked::LogStart, _) => 60,
            (Asked::Topics | Asked::Offsets | Asked::Group, Self::Preparing) => 2,
            (Asked::Topics, _) | (Asked::Offsets | Asked::Group, Self::Resting) => 30,
            (Asked::LogEnd | Asked::StableEnd, Self::Resting) => 1,
            (Asked::Group, Self::Active) => 15,
            (Asked::LogEnd | Asked::StableEnd | Asked::Offsets | Asked::Group, _) => 5,
        };
        Duration::from_secs(seconds)
    }
}

impl Subscription {
    /// Whether a topic concerns this pipeline.
    pub fn names(&self, topic: &String) -> bool {
        self.sources.contains(topic) || self.targets.contains(topic)
    }

    /// The questions that make sense for it.
    fn questions(&self) -> impl Iterator<Item = Asked> {
        let stable = self.read_committed.then_some(Asked::StableEnd);
        [Asked::Cluster, Asked::Topics, Asked::LogEnd, Asked::LogStart, Asked::Group, Asked::Offsets]
            .into_iter()
            .chain(stable)
    }
}

impl Book {
    /// Follows a pipeline, or changes how. True when anything changed.
    pub fn follow(&mut self, subscription: Subscription, now: Timestamp) -> bool {
        if let Some(entry) = self.pipelines.get_mut(&subscription.uid) {
            if entry.subscription == subscription {
                return false;
            }
            let same_pace = entry.subscription.pace == subscription.pace;
            let same_cluster = entry.subscription.config == subscription.config;
            entry.subscription = subscription;
            // Another cluster, topic or group makes every answer due; another pace brings forward what it asks more often.
            if same_pace || !same_cluster {
                entry.due.clear();
            } else {
                let pace = entry.subscription.pace;
                for (asked, due) in &mut entry.due {
                    *due = (*due).min(now + pace.interval(*asked));
                }
            }
            return true;
        }
        let sample = Arc::new(Sample::empty(now));
        self.pipelines
            .insert(subscription.uid.clone(), Entry { subscription, sample, due: BTreeMap::new(), asking: false });
        true
    }

    /// Makes everything about a pipeline due, and about its delay topics.
    pub fn hurry(&mut self, uid: &str) {
        for uid in [uid, &of_delays(uid)] {
            if let Some(entry) = self.pipelines.get_mut(uid) {
                entry.due.clear();
            }
        }
    }

    /// Forgets a pipeline, and its delay topics.
    pub fn forget(&mut self, uid: &str) {
        self.pipelines.remove(uid);
        self.pipelines.remove(&of_delays(uid));
    }

    /// Ticks under way were dropped with the loop that ran them: what they asked is due again.
    pub fn abandon(&mut self) {
        for entry in self.pipelines.values_mut().filter(|entry| entry.asking) {
            entry.asking = false;
            entry.due.clear();
        }
    }

    /// The newest sample.
    pub fn sample(&self, uid: &str) -> Option<Arc<Sample>> {
        self.pipelines.get(uid).map(|entry| Arc::clone(&entry.sample))
    }

    /// Configurations in use.
    pub fn clients(&self) -> Vec<ClientConfig> {
        self.pipelines.values().map(|entry| entry.subscription.config.clone()).collect()
    }

    /// Rounds to ask now, one a client, and how long to sleep until the next is due.
    pub(super) fn due(&mut self, now: Timestamp) -> (Vec<Round>, Duration) {
        let mut rounds: Vec<Round> = Vec::new();
        let mut sleep = IDLE;
        for entry in self.pipelines.values_mut().filter(|entry| !entry.asking) {
            let first = entry.first_due();
            if first > now {
                sleep = sleep.min(first.since(now));
                continue;
            }
            let question = entry.question(now);
            let config = &entry.subscription.config;
            match rounds.iter_mut().find(|round| round.config == *config) {
                Some(round) => round.questions.push(question),
                None => rounds.push(Round { config: config.clone(), questions: vec![question] }),
            }
        }
        (rounds, sleep)
    }

    /// Keeps a round's answers. Returns the pipelines that have a new sample.
    pub(super) fn note(&mut self, answers: &Answers) -> Vec<ObjectRef<ConsumerPipeline>> {
        let mut fresh = Vec::new();
        for uid in &answers.uids {
            // A pipeline that was forgotten, or moved to another cluster, while its round was under way.
            let Some(entry) = self.pipelines.get_mut(uid) else { continue };
            entry.asking = false;
            if entry.subscription.config != answers.config {
                continue;
            }
            let sample = entry.sample.after(&entry.subscription, answers);
            for asked in sample.troubles.keys() {
                let due = entry.due.entry(*asked).or_default();
                *due = (*due).min(answers.at + AGAIN);
            }
            entry.sample = Arc::new(sample);
            fresh.push(entry.subscription.pipeline.clone());
        }
        fresh
    }
}

impl Entry {
    fn first_due(&self) -> Timestamp {
        let due = self.subscription.questions().map(|asked| self.due.get(&asked).copied().unwrap_or_default());
        due.min().unwrap_or_default()
    }

    fn question(&mut self, now: Timestamp) -> Question {
        let subscription = &self.subscription;
        let due = |asked: &Asked| self.due.get(asked).copied().unwrap_or_default() <= now + TOGETHER;
        let asked: BTreeSet<Asked> = subscription.questions().filter(due).collect();
        for asked in &asked {
            self.due.insert(*asked, now + subscription.pace.interval(*asked));
        }
        self.asking = true;
        Question {
            uid: subscription.uid.clone(),
            group: subscription.group.clone(),
            topics: subscription.sources.iter().chain(&subscription.targets).cloned().collect(),
            partitions: self.sample.partitions.keys().cloned().collect(),
            sources: subscription.sources.clone(),
            read_committed: subscription.read_committed,
            asked,
        }
    }
}

#[cfg(test)]
mod tests;
