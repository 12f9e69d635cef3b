//! Numbers of dead letters under `onExhausted: ParkKey`, as a header tells them.

use core::fmt;

use super::Record;

/// The header that numbers the dead letters of a parked key, and by which a record that comes back is known: `<generation>.<number>`, and
/// what else whoever sent it back wishes, as words behind it.
pub const PARKED_HEADER: &str = "penstock.parked";

/// See [`Redriven::discard`].
const DISCARD: &str = "discard";
/// See [`Redriven::past_gaps`].
const PAST_GAPS: &str = "past-gaps";

/// Which letter of which parking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterNumber {
    /// Offset of the record that failed, ≥ 0: it names the parking.
    pub generation: i64,
    /// 1 for that record, then counting those of its key that came after it.
    pub number: u64,
}

/// What the header of a record says that was sent back from the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redriven {
    /// Its number.
    pub letter: LetterNumber,
    /// When its turn has come, it is passed over instead of being called.
    pub discard: bool,
    /// Letters before it that have not come back are given up: its turn has come.
    pub past_gaps: bool,
}

impl Redriven {
    /// What the record's last such header says; `None` without one, or one that makes no sense.
    pub fn of(record: &Record) -> Option<Self> {
        let last = record.headers().filter(|(name, _)| *name == PARKED_HEADER.as_bytes()).last();
        last.and_then(|(_, value)| Self::parse(value?))
    }

    /// Reads the header's value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut words = str::from_utf8(value).ok()?.split(' ');
        let (generation, number) = words.next()?.split_once('.')?;
        let letter = LetterNumber { generation: generation.parse().ok()?, number: number.parse().ok()? };
        let mut redriven = Self { letter, discard: false, past_gaps: false };
        for word in words {
            match word {
                DISCARD => redriven.discard = true,
                PAST_GAPS => redriven.past_gaps = true,
                _ => return None,
            }
        }
        (letter.generation >= 0 && letter.number > 0).then_some(redriven)
    }
}

impl fmt::Display for LetterNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.number)
    }
}

impl fmt::Display for Redriven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.letter.fmt(f)?;
        for (wanted, word) in [(self.discard, DISCARD), (self.past_gaps, PAST_GAPS)] {
            if wanted {
                write!(f, " {word}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        for text in ["0.1", "4711.12", "7.3 discard", "7.3 past-gaps", "7.3 discard past-gaps"] {
            assert_eq!(Redriven::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        for text in ["", "7", "7.", "-1.1", "7.0", "7.3 please", "7.3 ", "\u{1f980}", "99999999999999999999.1"] {
            assert_eq!(Redriven::parse(text.as_bytes()), None, "{text}");
        }
    }
}
