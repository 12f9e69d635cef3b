//! Numbers drawn from a seed: SplitMix64 (Steele, Lea, Flood 2014), the same on every machine for ever, so that a seed replays.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or(0)
    }

    /// A number from `start` to below `end`.
    pub fn within(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end.saturating_sub(start))
    }

    /// True this often in a thousand.
    pub fn per_mille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }

    /// One of them; they must not be empty.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap_or_default()]
    }
}

fn mixed(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// One number of several.
pub fn hashed(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |hash, part| mixed(hash.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mixed(*part)))
}

/// A digest of bytes that may be absent (FNV-1a, then mixed): null and empty differ, and so do `ab`+`c` and `a`+`bc`.
pub fn digest<'a>(parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for part in parts {
        match part {
            None => add(0),
            Some(bytes) => {
                add(1);
                (bytes.len() as u64).to_le_bytes().into_iter().for_each(&mut add);
                bytes.iter().copied().for_each(&mut add);
            }
        }
    }
    mixed(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_stream() {
        let draw = |seed| (0..4).scan(Rng::new(seed), |rng, _| Some(rng.draw())).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(draw(0)[0], 0xe220_a839_7b1d_cdaf, "the first number of the published generator");
    }

    #[test]
    fn a_digest_tells_null_from_empty_and_parts_from_each_other() {
        let of = |parts: &[Option<&[u8]>]| digest(parts.iter().copied());
        assert_ne!(of(&[None]), of(&[Some(b"")]));
        assert_ne!(of(&[Some(b"ab"), Some(b"c")]), of(&[Some(b"a"), Some(b"bc")]));
    }
}
