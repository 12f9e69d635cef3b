//! A dead letter and the record that it was: what is sent back, and where to. Pure.

use penstock_engine::seam::{LetterNumber, PARKED_HEADER, Redriven};

use crate::forward::{ID, ORIGIN_PARTITION, ORIGIN_TOPIC, REASON};

/// Name and value.
type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// What a dead letter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter<'a> {
    /// Topic that the record came from.
    pub(super) topic: &'a str,
    /// Partition that it came from.
    pub(super) partition: i32,
    /// Why it is a dead letter.
    pub(super) reason: &'a str,
    /// The topic id of that time.
    pub(super) topic_id: &'a str,
    /// Its number, if its key was parked.
    pub(super) number: Option<LetterNumber>,
    /// The headers of the record, without those of the dead letter.
    headers: Vec<Header<'a>>,
}

/// What the worker is asked to do with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Pass it over when its turn comes.
    pub(super) discard: bool,
    /// Give up letters before it that have not come back.
    pub(super) past_gaps: bool,
}

impl<'a> Letter<'a> {
    /// Reads the headers of a dead letter; `None` if Penstock did not write it. Penstock's own stand behind those of the record, from the
    /// last id on; with them go what other systems' headers were asked for.
    pub(super) fn of(headers: impl Iterator<Item = Header<'a>>) -> Option<Self> {
        let mut headers: Vec<Header<'a>> = headers.collect();
        let own = headers.split_off(headers.iter().rposition(|(name, _)| *name == ID.as_bytes())?);
        let text = |name: &str| {
            let last = own.iter().rfind(|(one, _)| *one == name.as_bytes());
            last.and_then(|(_, value)| str::from_utf8((*value)?).ok())
        };
        // What an earlier redrive put behind the record's own.
        headers.pop_if(|(name, _)| *name == PARKED_HEADER.as_bytes());
        Some(Self {
            topic: text(ORIGIN_TOPIC)?,
            partition: text(ORIGIN_PARTITION)?.parse().ok()?,
            reason: text(REASON)?,
            topic_id: text(ID)?.split('/').nth(1)?,
            number: text(PARKED_HEADER).and_then(|value| Redriven::parse(value.as_bytes())).map(|back| back.letter),
            headers,
        })
    }

    /// The header by which the worker knows it; `None` where it needs none.
    pub(super) fn sent_back(&self, Wishes { discard, past_gaps }: Wishes) -> Option<String> {
        self.number.map(|letter| Redriven { letter, discard, past_gaps }.to_string())
    }

    /// The headers of the copy.
    pub(super) fn headers(&self, sent_back: Option<&'a str>) -> Vec<Header<'a>> {
        let number = sent_back.map(|value| (PARKED_HEADER.as_bytes(), Some(value.as_bytes())));
        self.headers.iter().copied().chain(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(number: &'static str) -> Vec<Header<'static>> {
        let own = [
            (ID, "c1/t1/3/42"),
            (ORIGIN_TOPIC, "orders"),
            (ORIGIN_PARTITION, "3"),
            (REASON, "parked"),
            (PARKED_HEADER, number),
            ("kafka_dlt-original-topic", "orders"),
        ];
        own.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))).collect()
    }

    #[test]
    fn the_record_comes_out_as_it_went_in() {
        // An upstream pipeline of Penstock wrote the record: its id is the record's own.
        let record: Vec<Header<'_>> = vec![(b"a", None), (b"penstock.id", Some(b"c1/t0/0/7/0")), (b"a", Some(b"\xff"))];
        let letter = Letter::of(record.iter().copied().chain(own("40.3"))).unwrap();
        assert_eq!((letter.topic, letter.partition, letter.topic_id, letter.reason), ("orders", 3, "t1", "parked"));
        assert_eq!(letter.headers(None), record);
        let value = letter.sent_back(Wishes { discard: true, past_gaps: false }).unwrap();
        assert_eq!(letter.headers(Some(&value)).last(), Some(&(&b"penstock.parked"[..], Some(&b"40.3 discard"[..]))));
    }

    #[test]
    fn a_letter_that_goes_round_again_does_not_grow() {
        let record: Vec<Header<'_>> = vec![(b"a", Some(b"1")), (b"penstock.parked", Some(b"40.3"))];
        let letter = Letter::of(record.into_iter().chain(own("40.3"))).unwrap();
        assert_eq!(letter.headers(Some("40.3")), [(&b"a"[..], Some(&b"1"[..])), (b"penstock.parked", Some(b"40.3"))]);
    }

    #[test]
    fn what_penstock_did_not_write_is_left_alone() {
        assert_eq!(Letter::of([(&b"a"[..], None)].into_iter()), None);
        assert_eq!(Letter::of([(ID.as_bytes(), Some(&b"c1/t1/3/42"[..]))].into_iter()), None, "an output's id");
    }
}
