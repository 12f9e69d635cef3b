//! The conditions, one function each: what the facts say about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::SignedDuration;
use penstock_crds::Pipeline;
use penstock_crds::spec::ScalingMode;
use penstock_scaling::{Decision, Limit, Reason as Why, StuckPartition};

use super::verdict::{Verdict, pod_message, pod_reason};
use super::{View, hindered};
use crate::conditions::{self, Status, whole_seconds};
use crate::{Group, Objects, Reachability, Reason};

/// A failure to reach Kafka is news after two ticks of 5 s. A single request that times out is not.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
/// Partitions and violations that a message names; the rest are in status, or come up when these are mended.
const NAMED_MAX: usize = 5;

pub(super) fn accepted(view: &View<'_>) -> Verdict {
    match (view.facts.pipeline, &view.facts.group) {
        (Err(violations), _) => Verdict::no(Reason::Invalid, some_of(violations, "; ", ToString::to_string)),
        (Ok(pipeline), Group::InUse { pipeline: other }) => Verdict::no(
            Reason::GroupInUse,
            format!(
                "Pipeline {other} consumes with group {} on this cluster. No worker runs: choose another source.groupId in a new pipeline.",
                pipeline.source.group_id
            ),
        ),
        // Nobody has looked whose the group is: a collision that was known stays.
        (Ok(_), Group::NotAsked) => match view.known(conditions::ACCEPTED) {
            Some(known) if known.because(Reason::GroupInUse) => known,
            _ => valid(),
        },
        (Ok(_), Group::Ours | Group::Waiting { .. }) => valid(),
    }
}

fn valid() -> Verdict {
    Verdict::yes(Reason::Accepted, Reason::Accepted.meaning())
}

pub(super) fn kafka(view: &View<'_>) -> Verdict {
    match &view.facts.kafka {
        Reachability::Reachable => Verdict::yes(Reason::KafkaReachable, "Kafka answers."),
        Reachability::NotAsked => view.unknown(conditions::KAFKA_REACHABLE, "Kafka has not answered yet."),
        Reachability::Unreachable { trouble, since, last_sample } => {
            let passing = matches!(trouble.reason, Reason::KafkaUnreachable | Reason::KafkaRefused);
            if passing && view.now.0.duration_since(since.0) < PATIENCE {
                return view.unknown(conditions::KAFKA_REACHABLE, "Kafka has not answered yet.");
            }
            let known = match last_sample {
                Some(time) => format!("the newest answer is of {}", whole_seconds(time).0),
                None => "there was no answer so far".to_owned(),
            };
            let message = format!(
                "{} Failing since {}; {known}. Replicas stay as they are.",
                trouble.message,
                whole_seconds(since).0
            );
            Verdict::no(trouble.reason, message)
        }
    }
}

pub(super) fn available(view: &View<'_>) -> Verdict {
    let rollout = view.rollout;
    if !rollout.exists {
        return match view.facts.objects {
            Objects::Failed { trouble, .. } => trouble.into(),
            _ => view.unknown(conditions::AVAILABLE, "There is no Deployment yet."),
        };
    }
    if rollout.wanted == 0 {
        return Verdict::yes(Reason::NoneWanted, Reason::NoneWanted.meaning());
    }
    let count = format!("{} of {} workers are ready.", rollout.ready, rollout.wanted);
    let ill = view.facts.pods.iter().find_map(|pod| Some((pod_reason(pod)?, pod_message(pod))));
    match ill {
        _ if rollout.ready > 0 => Verdict::yes(Reason::WorkersReady, count),
        Some((reason, message)) => Verdict::no(reason, format!("{count} {message}")),
        None if rollout.overdue => Verdict::no(Reason::PodsNotStarting, count),
        None => Verdict::no(Reason::Progressing, format!("{count} Pods are starting.")),
    }
}

pub(super) fn scaling(view: &View<'_>, pipeline: &Pipeline) -> Verdict {
    let Some(decision) = view.facts.decision else {
        return view.unknown(conditions::SCALING, "There is no decision yet.");
    };
    let mut sentences = vec![decision.reason.sentence().to_owned()];
    sentences.extend(decision.limited_by.map(|limit| limited(limit, decision)));
    if let Some(advised) = decision.advised {
        sentences.push(format!("Mode Advise changes nothing; Auto would run {advised}."));
    }
    if let Some(replicas) = pipeline.scaling.replicas.filter(|_| pipeline.scaling.mode != ScalingMode::Manual) {
        sentences.push(format!(
            "spec.replicas is {replicas} and is ignored in mode {}: choose scaling.mode Manual, or remove it.",
            pipeline.scaling.mode.as_str()
        ));
    }
    let status = if decision.reason == Why::LagUnknown { Status::False } else { Status::True };
    Verdict::new(status, decision.reason.as_str(), sentences.join(" "))
}

fn limited(limit: Limit, decision: &Decision) -> String {
    if limit != Limit::HotPartition || decision.parts.hot.is_empty() {
        return limit.sentence().to_owned();
    }
    let hot = some_of(&decision.parts.hot, ", ", |hot| format!("{}/{}", hot.topic, hot.partition));
    format!("{} It is {hot}.", limit.sentence())
}

pub(super) fn delivering(view: &View<'_>, pipeline: &Pipeline, kafka: &Verdict, available: &Verdict) -> Verdict {
    if pipeline.paused {
        return Verdict::no(Reason::Paused, Reason::Paused.meaning());
    }
    if at_zero_by_hand(pipeline) {
        return Verdict::no(Reason::NoneWanted, "spec.replicas is 0, so no record is delivered.");
    }
    match &view.facts.group {
        Group::Waiting { members } => return waiting(pipeline, members),
        Group::InUse { .. } => return accepted(view),
        Group::Ours | Group::NotAsked => {}
    }
    if let Some(trouble) = view.facts.obstacles.first() {
        return trouble.into();
    }
    if kafka.is(Status::False) {
        return Verdict::new(Status::Unknown, &kafka.reason, "Kafka does not say what gets done.");
    }
    if !available.is(Status::True) {
        return available.clone();
    }
    let Some(decision) = view.facts.decision.filter(|decision| decision.reason != Why::LagUnknown) else {
        return view.unknown(conditions::DELIVERING, "Nothing is known of what is unread yet.");
    };
    if let Some(hindered) = hindered::verdict(view, pipeline) {
        return hindered;
    }
    match decision.parts.stuck.as_slice() {
        [_, ..] => Verdict::no(Reason::RecordStuck, stuck(&decision.parts.stuck)),
        [] if decision.reason == Why::NoProgress => Verdict::no(Reason::NoProgress, Reason::NoProgress.meaning()),
        [] if view.rollout.wanted == 0 => Verdict::yes(Reason::Idle, Reason::Idle.meaning()),
        [] => Verdict::yes(Reason::Delivering, Reason::Delivering.meaning()),
    }
}

fn waiting(pipeline: &Pipeline, members: &[String]) -> Verdict {
    let group = &pipeline.source.group_id;
    let who = if members.is_empty() { "others".to_owned() } else { some_of(members, ", ", Clone::clone) };
    let message = format!(
        "Group {group} has members that are not Penstock's: {who}. Workers start when they are gone: stop them to cut over."
    );
    Verdict::no(Reason::WaitingForGroup, message)
}

fn stuck(stuck: &[StuckPartition]) -> String {
    let named = some_of(stuck, ", ", |stuck| {
        let why = stuck.error_class.as_ref().map_or(String::new(), |class| format!(" ({class})"));
        format!("{}/{} at offset {}{why}", stuck.topic, stuck.partition, stuck.offset)
    });
    format!("A record does not get done, and those behind it wait: {named}. See status.stuck.")
}

/// Ready: all others agree, and the objects are as they should be (O6). A pipeline that rests by its owner's wish need not deliver.
pub(super) fn ready(view: &View<'_>, others: &Others) -> Verdict {
    let Ok(pipeline) = view.facts.pipeline else {
        return Verdict::no(Reason::Invalid, others.accepted.message.clone());
    };
    let failed = match view.facts.objects {
        Objects::Failed { trouble, .. } => Some(Verdict::from(trouble)),
        _ => None,
    };
    let resting = rests(pipeline);
    let kafka = Some(&others.kafka).filter(|kafka| !resting || kafka.is(Status::False));
    let busy = [&others.delivering, &others.available, &others.scaling].into_iter().filter(|_| !resting);
    let first = [Some(&others.accepted), failed.as_ref(), kafka].into_iter().flatten().chain(busy);
    if let Some(bad) = first.into_iter().find(|verdict| !verdict.is(Status::True)) {
        return Verdict::new(Status::False, &bad.reason, bad.message.clone());
    }
    if let Some(open) = view.still_open(pipeline) {
        return open;
    }
    let reason = if pipeline.paused { Reason::Paused } else { Reason::Ready };
    Verdict::yes(reason, reason.meaning())
}

/// Reconciling and Stalled, as kstatus wants them (github.com/kubernetes-sigs/cli-utils, pkg/kstatus): at most one is True.
pub(super) fn kstatus(view: &View<'_>, ready: &Verdict) -> (Verdict, Verdict) {
    let waiting = matches!(view.facts.group, Group::Waiting { .. });
    let converged = !waiting && view.facts.pipeline.is_ok_and(|pipeline| view.still_open(pipeline).is_none());
    let helpless = Reason::ALL.iter().any(|reason| reason.needs_help() && ready.because(*reason));
    let stalled = !ready.is(Status::True) && (helpless || view.rollout.overdue);
    let say = |so: bool| {
        let status = if so { Status::True } else { Status::False };
        Verdict::new(status, &ready.reason, if so { ready.message.clone() } else { String::new() })
    };
    (say(!ready.is(Status::True) && !converged && !stalled), say(stalled))
}

/// What was said of the conditions that Ready sums up.
pub(super) struct Others {
    pub(super) accepted: Verdict,
    pub(super) kafka: Verdict,
    pub(super) available: Verdict,
    pub(super) scaling: Verdict,
    pub(super) delivering: Verdict,
}

/// Up to [`NAMED_MAX`] of them in words, and how many more there are.
pub(super) fn some_of<T>(all: &[T], between: &str, words: impl Fn(&T) -> String) -> String {
    let named: Vec<String> = all.iter().take(NAMED_MAX).map(words).collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    named.join(between) + &rest
}

/// No worker runs, by the wish of the owner.
fn rests(pipeline: &Pipeline) -> bool {
    pipeline.paused || at_zero_by_hand(pipeline)
}

/// Mode Manual with `replicas: 0`: rest by wish, as with `paused`.
pub(super) fn at_zero_by_hand(pipeline: &Pipeline) -> bool {
    pipeline.scaling.mode == ScalingMode::Manual && pipeline.scaling.replicas == Some(0)
}

impl View<'_> {
    /// What was said of this generation before.
    fn known(&self, type_: &str) -> Option<Verdict> {
        let same = |condition: &&Condition| {
            condition.type_ == type_ && condition.observed_generation == Some(self.facts.generation)
        };
        self.previous.conditions.iter().find(same).map(Verdict::from)
    }

    /// Nobody knows yet. What was known for this generation stays: that a restarted operator has not looked yet is no news.
    fn unknown(&self, type_: &str, message: &str) -> Verdict {
        self.known(type_).unwrap_or_else(|| Verdict::new(Status::Unknown, Reason::Progressing.as_str(), message))
    }

    /// What is not yet as it should be, if anything: objects, pods, or the number of replicas.
    pub(super) fn still_open(&self, pipeline: &Pipeline) -> Option<Verdict> {
        let wait = |message: &str| Some(Verdict::no(Reason::Progressing, message));
        if !matches!(self.facts.objects, Objects::Applied(_)) {
            return wait("Objects are not applied yet.");
        }
        if !self.rollout.complete() {
            let ill = self.facts.pods.iter().find_map(|pod| Some((pod_reason(pod)?, pod_message(pod))));
            let count = format!("{} of {} workers are ready.", self.rollout.ready, self.rollout.wanted);
            return match ill {
                Some((reason, message)) => Some(Verdict::no(reason, format!("{count} {message}"))),
                None => wait(&format!("{count} A roll-out is under way.")),
            };
        }
        let decided = match (rests(pipeline), self.facts.decision) {
            (true, _) => Some(0),
            (false, Some(decision)) if pipeline.scaling.mode != ScalingMode::Advise => {
                i32::try_from(decision.replicas).ok()
            }
            (false, _) => None,
        };
        match decided.filter(|decided| *decided != self.rollout.wanted) {
            Some(decided) => wait(&format!("Replicas are to become {decided}.")),
            None => None,
        }
    }
}
