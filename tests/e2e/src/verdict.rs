//! What became of the flights: judged from everything that is in the topic of delays and in that of dead letters. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::flight::Flight;

/// Where a record was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the output topic.
    Output,
    /// In the dead-letter topic.
    DeadLetter,
}

/// A record of either topic.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Which topic.
    pub found: Found,
    /// The flight, as the record's value tells it.
    pub id: u32,
    /// Partition and offset of the flight in the source topic, as the record's headers tell them.
    pub origin: (i32, i64),
    /// Partition and offset of this record.
    pub place: (i32, i64),
    /// When the broker appended it, milliseconds since the epoch. One broker's clock serves both topics.
    pub appended: i64,
}

/// A flight that was produced.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The key: the aircraft, if known.
    pub key: Option<&'a str>,
    /// Whether its delay is known, so that it belongs into the output.
    pub arrived: bool,
}

impl<'a> Sent<'a> {
    /// A flight as it was produced.
    pub fn of(flight: &'a Flight<'_>) -> Self {
        Self { key: flight.tailnum.as_deref(), arrived: flight.arr_delay.is_some() }
    }
}

/// The sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Flights in the output.
    pub out: usize,
    /// Flights among the dead letters.
    pub dead: usize,
    /// Flights in neither.
    pub lost: usize,
    /// Records beyond the first of a flight in a topic.
    pub duplicates: Vec<Duplicate>,
    /// Keys whose flights were all first done in the order in which they were produced.
    pub keys_in_order: usize,
    /// Keys.
    pub keys: usize,
    /// What must not be, each in words; at most [`PROBLEMS_MAX`].
    pub problems: Vec<String>,
}

/// A flight that was done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Partition of the flight in the source topic.
    pub partition: i32,
    /// When it was done first, milliseconds since the epoch.
    pub first: i64,
}

/// A worker's end without grace, and what it may leave to be done again.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// When, milliseconds since the epoch.
    pub at: i64,
    /// Between two commits, with the time that the reply takes, milliseconds.
    pub commit: i64,
    /// Partitions that the worker had at most.
    pub partitions: usize,
    /// Calls that it had in progress at most.
    pub calls: usize,
}

/// More would tell nothing new.
pub const PROBLEMS_MAX: usize = 10;

/// The first record of a flight, and how many there are.
type Firsts = BTreeMap<u32, (Seen, usize)>;

/// Judges. `sent` is in the order of production, so that its index is the flight's id; `seen` is in order within each partition.
pub fn judge(sent: &[Sent<'_>], seen: &[Seen]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut output = Firsts::new();
    let mut dead = Firsts::new();
    for one in seen {
        let firsts = if one.found == Found::Output { &mut output } else { &mut dead };
        let entry = firsts.entry(one.id).or_insert((*one, 0));
        entry.1 += 1;
        let first = entry.0;
        if entry.1 > 1 {
            verdict.duplicates.push(Duplicate { partition: one.origin.0, first: first.appended });
        }
        if first.origin != one.origin {
            verdict.problem(|| format!("flight {} has two origins: {:?} and {:?}", one.id, first.origin, one.origin));
        }
    }
    verdict.out = output.len();
    verdict.dead = dead.len();
    for (id, flight) in (0_u32..).zip(sent) {
        match (output.contains_key(&id), dead.contains_key(&id)) {
            (false, false) => verdict.lost += 1,
            (true, true) => verdict.problem(|| format!("flight {id} is in both topics")),
            (true, false) if flight.arrived => {}
            (false, true) if !flight.arrived => {}
            (true, false) => verdict.problem(|| format!("flight {id} never arrived and has a delay all the same")),
            (false, true) => verdict.problem(|| format!("flight {id} arrived and is a dead letter")),
        }
    }
    let strangers =
        output.keys().chain(dead.keys()).filter(|id| usize::try_from(**id).map_or(true, |id| id >= sent.len())).count();
    if strangers > 0 {
        verdict.problem(|| format!("{strangers} records are of no flight that was sent"));
    }
    verdict.check_order(sent, &output, &dead);
    verdict
}

/// How far the flights of one key have come.
#[derive(Default)]
struct Lane {
    origin: Option<(i32, i64)>,
    output: Option<(i32, i64)>,
    dead: Option<(i32, i64)>,
    appended: i64,
}

impl Lane {
    /// Whether the next flight of the key was done after all before it. Within a topic places tell; between the two topics, which
    /// have no common offsets, the broker's clock does.
    fn follows(&mut self, next: &Seen) -> bool {
        let last = if next.found == Found::Output { &mut self.output } else { &mut self.dead };
        let after = |before: Option<(i32, i64)>, place: (i32, i64)| {
            before.is_none_or(|(partition, offset)| partition == place.0 && offset < place.1)
        };
        let follows = after(*last, next.place) && after(self.origin, next.origin) && next.appended >= self.appended;
        *last = Some(next.place);
        self.origin = Some(next.origin);
        self.appended = self.appended.max(next.appended);
        follows
    }
}

impl Verdict {
    /// How many duplicates a crash explains (S7): what the worker did between its last acknowledged commit and its end, and the
    /// calls it had in progress. Duplicates that are not of its partitions, or not of that time, become problems.
    pub fn explain(&mut self, crash: &Crash, seen: &[Seen]) -> usize {
        let recent = crash.at - crash.commit..=crash.at;
        let partitions: std::collections::BTreeSet<i32> = self.duplicates.iter().map(|one| one.partition).collect();
        let done =
            seen.iter().filter(|one| partitions.contains(&one.origin.0) && recent.contains(&one.appended)).count();
        let bound = done + crash.calls;
        // A call that was in progress at the end may have been written, and nobody left to tell.
        let strange = self.duplicates.iter().filter(|one| one.first < *recent.start()).count();
        if strange > 0 {
            self.problem(|| format!("{strange} duplicates had been done long before the crash"));
        }
        if partitions.len() > crash.partitions {
            let most = crash.partitions;
            self.problem(|| format!("duplicates in partitions {partitions:?}, but the worker had {most} at most"));
        }
        let count = self.duplicates.len();
        if count > bound {
            self.problem(|| format!("{count} duplicates, but only {bound} were in flight at the crash"));
        }
        bound
    }

    fn check_order(&mut self, sent: &[Sent<'_>], output: &Firsts, dead: &Firsts) {
        let mut lanes: HashMap<&str, (Lane, bool)> = HashMap::new();
        for (id, flight) in (0_u32..).zip(sent) {
            let first = output.get(&id).or_else(|| dead.get(&id));
            if let (Some(key), Some((first, _))) = (flight.key, first) {
                let (lane, in_order) = lanes.entry(key).or_insert_with(|| (Lane::default(), true));
                if !lane.follows(first) {
                    *in_order = false;
                    self.problem(|| format!("flight {id} of {key} was done before an earlier one: {first:?}"));
                }
            }
        }
        self.keys = lanes.len();
        self.keys_in_order = lanes.values().filter(|(_, in_order)| *in_order).count();
    }

    fn problem(&mut self, words: impl FnOnce() -> String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(words());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: [Sent<'_>; 4] = [
        Sent { key: Some("a"), arrived: true },
        Sent { key: Some("a"), arrived: false },
        Sent { key: Some("a"), arrived: true },
        Sent { key: None, arrived: true },
    ];

    fn seen(found: Found, id: u32, offset: i64, appended: i64) -> Seen {
        Seen { found, id, origin: (0, i64::from(id)), place: (0, offset), appended }
    }

    fn right() -> Vec<Seen> {
        vec![
            seen(Found::Output, 3, 0, 5),
            seen(Found::Output, 0, 1, 6),
            seen(Found::DeadLetter, 1, 0, 7),
            seen(Found::Output, 2, 2, 7),
        ]
    }

    #[test]
    fn all_is_well_when_each_flight_is_where_it_belongs() {
        let verdict = judge(&SENT, &right());
        let expected = Verdict { out: 3, dead: 1, keys_in_order: 1, keys: 1, ..Verdict::default() };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn a_repetition_is_a_duplicate_and_leaves_the_order() {
        let verdict = judge(&SENT, &[right(), vec![seen(Found::Output, 0, 3, 9)]].concat());
        assert_eq!((verdict.duplicates.len(), verdict.keys_in_order, verdict.problems.len()), (1, 1, 0));
    }

    #[test]
    fn a_flight_in_neither_topic_is_lost() {
        assert_eq!(judge(&SENT, &right()[..3]).lost, 1);
    }

    #[test]
    fn an_overtaken_flight_is_seen_within_a_topic_and_between_the_two() {
        let mut within = right();
        (within[1].place, within[3].place) = (within[3].place, within[1].place);
        assert_eq!(judge(&SENT, &within).keys_in_order, 0);
        let mut between = right();
        between[2].appended = 8;
        assert_eq!(judge(&SENT, &between).keys_in_order, 0);
    }

    #[test]
    fn a_flight_in_the_wrong_topic_or_in_both_or_from_nowhere_is_a_problem() {
        let mut wrong = right();
        wrong[2].found = Found::Output;
        wrong[2].place = (0, 9);
        assert!(judge(&SENT, &wrong).problems[0].contains("never arrived"));
        let both = [right(), vec![seen(Found::DeadLetter, 3, 1, 9)]].concat();
        assert!(judge(&SENT, &both).problems[0].contains("both"));
        let stranger = [right(), vec![seen(Found::Output, 7, 9, 9)]].concat();
        assert!(judge(&SENT, &stranger).problems[0].contains("no flight"));
    }

    #[test]
    fn only_what_was_in_flight_may_be_done_again() {
        let seen = [right(), vec![seen(Found::Output, 0, 3, 9)]].concat();
        let crash = Crash { at: 8, commit: 3, partitions: 1, calls: 2 };
        let mut verdict = judge(&SENT, &seen);
        // Of the four records that were there at 8, all are of partition 0 and none is older than 5.
        assert_eq!((verdict.explain(&crash, &seen), verdict.problems.len()), (6, 0));
        let mut verdict = judge(&SENT, &seen);
        verdict.explain(&Crash { at: 20, ..crash }, &seen);
        assert!(verdict.problems[0].contains("long before"), "{:?}", verdict.problems);
    }

    #[test]
    fn two_origins_of_one_flight_are_a_problem() {
        let mut again = seen(Found::Output, 0, 4, 9);
        again.origin = (0, 77);
        assert!(judge(&SENT, &[right(), vec![again]].concat()).problems[0].contains("two origins"));
    }
}
