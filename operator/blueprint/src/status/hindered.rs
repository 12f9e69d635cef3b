//! What workers say stands in the way of delivery, as the verdict of Delivering: the gravest reason, and everything that has it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use penstock_crds::Pipeline;
use penstock_crds::checkpoint::{ErrorClass, HoldReason, Lost};
use penstock_crds::pipeline::{DeadLetter, Delivery};

use super::View;
use super::judge::some_of;
use super::verdict::Verdict;
use crate::conditions::whole_seconds;
use crate::worker_file::span;
use crate::{Cause, Hindrance, Reason};

/// Every worker begins with a processor that has not answered; the commit that takes it back is seen two ticks later at most.
const START_PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Of several partitions with the same reason, the one that says why and since when: the first of those held longest.
#[derive(Clone, Copy)]
struct Worst<'a> {
    class: ErrorClass,
    since: &'a Time,
}

/// The reasons, the gravest first.
const GRAVITY: [Reason; 7] = [
    Reason::DataLoss,
    Reason::TooManyDeadLetters,
    Reason::DeadLetterUnwritable,
    Reason::OutputUnwritable,
    Reason::ProcessorUnavailable,
    Reason::Blocked,
    Reason::KeysParked,
];

pub(super) fn verdict(view: &View<'_>, pipeline: &Pipeline) -> Option<Verdict> {
    if view.rollout.wanted == 0 {
        return None; // nobody is there to take back what was said last
    }
    let told: Vec<&Hindrance> = view.facts.hindrances.iter().filter(|one| is_told(one, view.now)).collect();
    GRAVITY.into_iter().find_map(|gravest| {
        let all: Vec<&Hindrance> = told.iter().copied().filter(|one| reason(&one.cause) == Some(gravest)).collect();
        (!all.is_empty()).then(|| Verdict::no(gravest, message(gravest, &all, pipeline)))
    })
}

fn is_told(hindrance: &Hindrance, now: &Time) -> bool {
    match &hindrance.cause {
        Cause::Held { reason: HoldReason::ProcessorNotReady, since, .. } => {
            now.0.duration_since(since.0) >= START_PATIENCE
        }
        Cause::Held { .. } | Cause::Blocked { .. } | Cause::Parked { .. } => true,
    }
}

fn reason(cause: &Cause) -> Option<Reason> {
    let reason = match cause {
        Cause::Blocked { .. } => return Some(Reason::Blocked),
        Cause::Parked { .. } => return Some(Reason::KeysParked),
        Cause::Held { reason, .. } => reason,
    };
    match reason {
        HoldReason::DataLoss => Some(Reason::DataLoss),
        HoldReason::TooManyDeadLetters => Some(Reason::TooManyDeadLetters),
        HoldReason::ForwardFailed => Some(Reason::DeadLetterUnwritable),
        HoldReason::OutputFailed => Some(Reason::OutputUnwritable),
        HoldReason::CircuitOpen | HoldReason::ProcessorNotReady => Some(Reason::ProcessorUnavailable),
        // A fenced worker cannot commit that it is; a reason of a newer one is not known here.
        // That no more keys can be parked is said beside those that are.
        HoldReason::Fenced | HoldReason::ParkedKeysFull | HoldReason::Unknown => None,
    }
}

fn message(reason: Reason, all: &[&Hindrance], pipeline: &Pipeline) -> String {
    let places = some_of(all, ", ", |one| place(one));
    let worst = worst(all);
    let since = worst.map_or(String::new(), |worst| format!(" since {}", whole_seconds(worst.since).0));
    let class = worst.map_or(ErrorClass::Unknown, |worst| worst.class);
    let delivery = &pipeline.delivery;
    match reason {
        Reason::DataLoss => format!(
            "Records were gone before they were read: {}. source.onOffsetLoss is Stop, so these partitions stand still{since}. Set it to Resume to go on with what is left.",
            some_of(all, "; ", |one| loss(one))
        ),
        Reason::TooManyDeadLetters => format!(
            "More than {} % of a minute's records, of at least 100 keys, failed for good ({class}){since}, so something else than records must be wrong. Nothing more of {places} is dead-lettered; a record is tried now and then, and it goes on when they succeed. Mend the processor, or raise deadLetter.maxPercent.",
            delivery.dead_letter.as_ref().map_or(100, |dead_letter| dead_letter.max_percent)
        ),
        Reason::DeadLetterUnwritable => format!(
            "{}{since}. Nothing is lost: their records are kept and written again. Offsets wait for them on {places}. The worker's log has the broker's words.",
            of_failed_records(delivery)
        ),
        Reason::OutputUnwritable => format!(
            "Output cannot be written to topic {}{since}. Answers are kept and written again. Offsets wait for them on {places}. The worker's log has the broker's words.",
            pipeline.output.as_deref().unwrap_or_default()
        ),
        Reason::ProcessorUnavailable => format!(
            "{} ({class}){since}. Records of {places} wait and are tried now and then; no attempt is spent.",
            if class == ErrorClass::Misconfigured {
                "The processor answers 3xx, 401, 403, 404 or 405, as if it were another service"
            } else {
                "The processor cannot be reached"
            }
        ),
        Reason::KeysParked => format!(
            "A record failed for good of {}. The later records of those keys go to topic {} after it until all have come back: send them with penstock-worker redrive.",
            some_of(all, ", ", |one| parked(one)),
            delivery.dead_letter.as_ref().map_or("", |dead_letter| dead_letter.topic.as_str())
        ),
        _ => format!(
            "{} failed for good, and with onExhausted Block those behind in the lane wait. Tried again every {}; it goes on by itself once that succeeds.",
            some_of(all, ", ", |one| blocked(one)),
            span(delivery.retry.max_delay)
        ),
    }
}

fn worst<'a>(all: &[&'a Hindrance]) -> Option<Worst<'a>> {
    let held = all.iter().filter_map(|one| match &one.cause {
        Cause::Held { class, since, .. } => Some(Worst { class: *class, since }),
        Cause::Blocked { .. } | Cause::Parked { .. } => None,
    });
    held.min_by_key(|worst| worst.since.0)
}

fn place(hindrance: &Hindrance) -> String {
    format!("{}/{}", hindrance.topic, hindrance.partition)
}

/// `orders/3: offsets 17 to 99 (83)`.
fn loss(hindrance: &Hindrance) -> String {
    let place = place(hindrance);
    let Cause::Held { lost: Some(Lost { wanted, found }), .. } = hindrance.cause else { return place };
    if found > wanted {
        format!("{place}: offsets {wanted} to {} ({})", found - 1, found - wanted)
    } else {
        format!("{place}: the log was cut at offset {found}, {} below where reading was to go on", wanted - found)
    }
}

/// `orders/3 at offset 17 (5 attempts, ServerError)`.
fn blocked(hindrance: &Hindrance) -> String {
    let place = place(hindrance);
    let Cause::Blocked { offset, attempts, class } = hindrance.cause else { return place };
    let attempts = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
    format!("{place} at offset {offset} ({attempts}, {class})")
}

/// `3 keys in orders/3`.
fn parked(hindrance: &Hindrance) -> String {
    let place = place(hindrance);
    let Cause::Parked { keys, full } = hindrance.cause else { return place };
    let keys = if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
    let full = if full { " (no more can be parked: the next that fails blocks its lane)" } else { "" };
    format!("{keys} in {place}{full}")
}

/// What cannot be written of records that failed, and where.
fn of_failed_records(delivery: &Delivery) -> String {
    let delays: Vec<&str> = delivery.retry.delay_topics.iter().map(|one| one.topic.as_str()).collect();
    let delays = delays.join(", ");
    match &delivery.dead_letter {
        Some(DeadLetter { topic, .. }) if delays.is_empty() => {
            format!("Dead letters cannot be written to topic {topic}")
        }
        Some(DeadLetter { topic, .. }) => {
            format!("Dead letters cannot be written to topic {topic}, or records that are to wait to topic {delays}")
        }
        None => format!("Records that are to wait cannot be written to topic {delays}"),
    }
}
