//! What the processor says to a batch: as docs/processor-contract.md has it, in every way that it allows, and in some that it does not.
//! Pure, so that tests can show that each is met.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::http::Request;
use super::reply::Reply;
use crate::behaviour::{Behaviour, Trouble};
use crate::check::output_body;
use crate::history::Answer;
use crate::rng::{Rng, hashed};

/// A record of a batch, and how it is treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) record: &'a Request,
    pub(super) behaviour: Behaviour,
    /// How often it had trouble before.
    pub(super) troubles: u32,
    /// Its lane, where a lane has an order to keep and may have several records in a batch.
    pub(super) lane: Option<u64>,
}

/// What becomes of a batch.
#[derive(Debug)]
pub(super) struct Decision {
    /// How long the processor takes.
    pub(super) wait: Duration,
    /// What becomes of the records, in their order.
    pub(super) answers: Vec<Answer>,
    /// Places of the records that had their trouble once more.
    pub(super) spent: Vec<usize>,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) enum End {
    Says(Reply),
    Hangs,
    Crashes,
}

/// What is said of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Ack,
    /// Acknowledged, and nothing is written of it.
    Done,
    Skip,
    Retry,
    Reject,
    Overload,
    /// An item that cannot be read.
    Unreadable,
    LeftOut,
}

/// What befalls a batch as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    Trouble(Trouble),
    /// A body that is not believed; which is drawn.
    Nonsense(u64),
}

/// What one record asks for.
enum Asked {
    Said(Said),
    Whole(Whole),
    /// An answer that ends before this record.
    Half,
}

/// Decides about a batch. It is the same for the same records after the same troubles.
pub(super) fn decide(seed: u64, items: &[Item<'_>], output: bool) -> Decision {
    let slow = |item: &Item<'_>| match item.behaviour {
        Behaviour::Slow(wait) => wait,
        _ => Duration::ZERO,
    };
    let wait = items.iter().map(slow).max().unwrap_or_default();
    let mut said = Vec::with_capacity(items.len());
    let mut half = None;
    for (place, item) in items.iter().enumerate() {
        let (tp, offset) = (item.record.tp.drawn(), item.record.offset.cast_unsigned());
        let mut rng = Rng::new(hashed(&[seed, tp, offset, item.troubles.into(), 0x0062_6174_6368]));
        match asked(item, &mut rng) {
            Asked::Said(word) => said.push(word),
            Asked::Whole(whole) => return Decision { wait, ..of_all(whole, place, items.len(), output) },
            Asked::Half => {
                said.push(Said::LeftOut);
                half.get_or_insert(place);
            }
        }
    }
    if let Some(half) = half {
        said[half..].fill(Said::LeftOut);
    }
    let first = items.first().map_or(0, |item| item.record.offset.cast_unsigned());
    let rng = &mut Rng::new(hashed(&[seed, first, items.len() as u64, 0x0069_7465_6d73]));
    Decision { wait, ..one_by_one(items, &said, output, rng) }
}

/// The same trouble comes as a verdict on the record or on all that was sent with it.
fn asked(item: &Item<'_>, rng: &mut Rng) -> Asked {
    let trouble = match item.behaviour {
        Behaviour::Passing { times, .. } if item.troubles >= times => return Asked::Said(Said::Ack),
        Behaviour::Ack | Behaviour::Slow(_) => return Asked::Said(Said::Ack),
        Behaviour::AckByVerdict => return Asked::Said(Said::Done),
        Behaviour::Skip => return Asked::Said(Said::Skip),
        Behaviour::Reject(code) => Trouble::Refusal(code),
        Behaviour::Passing { trouble, .. } | Behaviour::Lasting(trouble) => trouble,
    };
    let by_item = rng.per_mille(500);
    match trouble {
        Trouble::Status(_) if by_item => Asked::Said(Said::Retry),
        Trouble::Refusal(_) if by_item => Asked::Said(Said::Reject),
        Trouble::Busy if by_item => Asked::Said(Said::Overload),
        Trouble::Garbage => match rng.below(5) {
            0 => Asked::Said(Said::Unreadable),
            1 => Asked::Said(Said::LeftOut),
            2 => Asked::Half,
            3 => Asked::Whole(Whole::Nonsense(rng.draw())),
            _ => Asked::Whole(Whole::Trouble(trouble)),
        },
        trouble => Asked::Whole(Whole::Trouble(trouble)),
    }
}

/// One record's trouble is everybody's. Among others it counts only where it must pass for the others' sake.
fn of_all(whole: Whole, culprit: usize, count: usize, output: bool) -> Decision {
    let alone = count == 1;
    let open = |alone_answer| if alone { alone_answer } else { Answer::Undecided };
    let broken = || {
        let mut answers = vec![Answer::Caught; count];
        answers[culprit] = Answer::Broken;
        answers
    };
    let passes = matches!(whole, Whole::Trouble(Trouble::Busy | Trouble::Hang | Trouble::Crash));
    let (answers, end) = match whole {
        Whole::Nonsense(draw) => (vec![open(Answer::Garbage); count], End::Says(nonsense(draw, count, output))),
        Whole::Trouble(trouble) => match trouble {
            Trouble::Status(code) => (vec![open(Answer::Failed); count], End::Says(Reply::status(code, "", "failed"))),
            Trouble::Refusal(code) => {
                let (answer, reply) = Reply::refusal(code);
                (vec![open(answer); count], End::Says(reply))
            }
            Trouble::Busy => (vec![Answer::Overload; count], End::Says(Reply::busy())),
            Trouble::Garbage => (vec![open(Answer::Garbage); count], End::Says(Reply::garbage())),
            Trouble::Break => (broken(), End::Says(Reply::broken())),
            Trouble::BreakWithin => (broken(), End::Says(Reply::broken_within())),
            Trouble::Hang => (vec![Answer::Gone; count], End::Hangs),
            Trouble::Crash => (broken(), End::Crashes),
        },
    };
    let spent = if alone || passes { vec![culprit] } else { Vec::new() };
    Decision { wait: Duration::ZERO, answers, spent, end }
}

/// Answers with the right status and type of which no word is to be believed.
fn nonsense(draw: u64, count: usize, output: bool) -> Reply {
    let ack = |place: usize| format!("{{\"item\": {place}, \"verdict\": \"ack\"}}");
    let all = (0..count).map(ack).collect::<Vec<_>>().join(", ");
    let body = match draw % 6 {
        0 => format!("{{\"items\": [{all}, {}]}}", ack(count - 1)),
        1 => format!("{{\"items\": [{all}, {}]}}", ack(count)),
        2 => format!("{{\"items\": [{all}, {{\"verdict\": \"ack\"}}]}}"),
        3 => format!("{{\"items\": [{all}], \"oops\": {output}}}"),
        4 => format!("{{\"items\": [{all}"),
        _ => "all is well".to_owned(),
    };
    Reply::status(200, "content-type: application/json\r\n", &body)
}

/// An answer that speaks of the records one by one, or says nothing because all is well.
fn one_by_one(items: &[Item<'_>], said: &[Said], output: bool, rng: &mut Rng) -> Decision {
    let alone = items.len() == 1;
    let mut stopped = BTreeSet::new();
    let (mut answers, mut spent) = (Vec::with_capacity(items.len()), Vec::new());
    // What is said of a record behind a failure of its lane must not matter, so it is drawn.
    let mut words = said.to_vec();
    for (place, (item, word)) in items.iter().zip(&mut words).enumerate() {
        let lane = item.lane.map(|lane| (item.record.tp, lane));
        if lane.is_some_and(|lane| stopped.contains(&lane)) {
            *word = rng.pick(&[Said::LeftOut, Said::Done, Said::Retry, Said::Reject]);
            answers.push(Answer::Behind);
            continue;
        }
        let answer = match word {
            Said::Ack => Answer::Ack,
            Said::Done | Said::Skip => Answer::Skip,
            Said::Retry => Answer::Failed,
            Said::Reject => Answer::Reject,
            Said::Overload => Answer::Overload,
            Said::Unreadable | Said::LeftOut if alone => Answer::Failed,
            Said::Unreadable | Said::LeftOut => Answer::Undecided,
        };
        if !matches!(answer, Answer::Ack | Answer::Skip) {
            stopped.extend(lane);
            if answer != Answer::Undecided {
                spent.push(place);
            }
        }
        answers.push(answer);
    }
    let reply = said_so(items, &words, output, rng);
    Decision { wait: Duration::ZERO, answers, spent, end: End::Says(reply) }
}

fn said_so(items: &[Item<'_>], words: &[Said], output: bool, rng: &mut Rng) -> Reply {
    let json = |body: &str| Reply::status(200, "content-type: application/json\r\n", body);
    let is_plain = |word: &Said| *word == Said::Done || (*word == Said::Ack && !output);
    if words.iter().all(is_plain) {
        match rng.below(8) {
            0 => return Reply::status(200, "", ""),
            1 => return Reply::no_content(),
            2 => return Reply::status(500, "penstock-verdict: ack\r\n", "not read"),
            3 => return json("{\"items\": [], \"others\": \"ack\"}"),
            _ => {}
        }
    }
    // Where somebody is left out, nothing may be said of the others.
    let others = !words.contains(&Said::LeftOut) && rng.per_mille(500);
    let mut texts: Vec<String> = Vec::with_capacity(items.len());
    for (place, (item, word)) in items.iter().zip(words).enumerate() {
        if *word != Said::LeftOut && !(others && is_plain(word)) {
            texts.push(text(place, item, *word, output, rng));
        }
    }
    if rng.per_mille(300) {
        texts.reverse();
    }
    let others = if others { ", \"others\": \"ack\"" } else { "" };
    json(&format!("{{\"items\": [{}]{others}}}", texts.join(", ")))
}

fn text(place: usize, item: &Item<'_>, word: Said, output: bool, rng: &mut Rng) -> String {
    let verdict = match word {
        Said::Ack | Said::Done => "ack",
        Said::Skip => "skip",
        Said::Retry | Said::LeftOut => "retry",
        Said::Reject => "reject",
        Said::Overload => "overload",
        Said::Unreadable => rng.pick(&["acknowledged", ""]),
    };
    let mut text = format!("{{\"item\": {place}, \"verdict\": \"{verdict}\"");
    if word == Said::Ack && output {
        let _ = write!(text, ", \"output\": [{}]", event(item.record.digest, rng));
    }
    if matches!(word, Said::Retry | Said::Overload) {
        text.push_str(", \"retryAfter\": 0, \"reason\": \"not now\"");
    }
    text.push('}');
    text
}

/// An output, written in one of the ways that there are.
fn event(digest: u64, rng: &mut Rng) -> String {
    use base64::Engine as _;
    let body = format!("{:016x}", output_body(digest));
    if rng.per_mille(500) {
        return format!("{{\"data\": \"{body}\", \"datacontenttype\": \"text/plain\"}}");
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(&body);
    format!("{{\"data_base64\": \"{encoded}\"}}")
}

#[cfg(test)]
mod tests;
