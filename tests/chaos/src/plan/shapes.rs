//! What records look like: mostly small, and of every shape that Kafka allows.

use crate::rng::{Rng, hashed};

/// How often which shape is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shapes {
    seed: u64,
    /// Distinct keys.
    pub keys: u64,
    /// Records without a key, in a thousand.
    pub null_keys: u64,
    /// Awkward values and headers, in a thousand.
    pub awkward: u64,
    /// The longest value, bytes.
    pub huge: u64,
}

/// One record before it is produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What is asked of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Every record has one, and keys repeat: compaction needs that.
    pub all: bool,
    /// There are many: one that is held up must leave others.
    pub many: bool,
}

impl Shapes {
    pub(super) fn drawn(rng: &mut Rng, seed: u64, asked: Keys) -> Self {
        let keys = if asked.many { rng.pick(&[200, 1_000, 5_000]) } else { rng.pick(&[1, 20, 200, 1_000, 5_000]) };
        let null_keys = rng.pick(&[0, 20, 500]);
        Self {
            seed,
            keys: if asked.all { keys.min(200) } else { keys },
            null_keys: if asked.all { 0 } else { null_keys },
            awkward: rng.pick(&[0, 20, 200]),
            huge: rng.pick(&[10_000, 100_000, 900_000]),
        }
    }

    /// The same, with fewer awkward values and no huge ones: hundreds of thousands of them must fit somewhere.
    pub(super) fn small(self) -> Self {
        Self { awkward: self.awkward.min(20), huge: self.huge.min(10_000), ..self }
    }

    /// The record of a number.
    pub fn record(&self, number: u64) -> Shape {
        let mut rng = Rng::new(hashed(&[self.seed, number, 0x0073_6861_7065]));
        let key = (!rng.per_mille(self.null_keys)).then(|| key(rng.below(self.keys)));
        if !rng.per_mille(self.awkward) {
            let value = format!("{{\"number\":{number},\"drawn\":{}}}", rng.draw());
            return Shape { key, value: Some(value.into_bytes()), headers: Vec::new() };
        }
        Shape { key, value: self.value(&mut rng, number), headers: headers(&mut rng) }
    }

    fn value(&self, rng: &mut Rng, number: u64) -> Option<Vec<u8>> {
        match rng.below(20) {
            0..=4 => None,
            5..=8 => Some(Vec::new()),
            9 => {
                let length = usize::try_from(rng.within(1_000, self.huge)).unwrap_or(1_000);
                Some(bytes(rng, length))
            }
            10..=15 => Some(bytes(rng, 64)),
            _ => Some(format!("value {number}").into_bytes()),
        }
    }
}

/// Some keys are empty, long, or no text.
fn key(number: u64) -> Vec<u8> {
    let mut rng = Rng::new(hashed(&[number, 0x006b_6579]));
    match number % 16 {
        3 => bytes(&mut rng, 12),
        5 if number == 5 => Vec::new(),
        7 if number < 16 => bytes(&mut rng, 7_000),
        9 => format!("schlüssel %{number}&=\"\\ \u{1F511}").into_bytes(),
        11 => [b"\r\n\0".as_slice(), number.to_string().as_bytes()].concat(),
        _ => format!("key-{number}").into_bytes(),
    }
}

fn headers(rng: &mut Rng) -> Vec<(String, Option<Vec<u8>>)> {
    let mut headers: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    for _ in 0..rng.below(5) {
        let name =
            rng.pick(&["a", "a", "content-type", "x-%&=", "größe", "penstock.id", "traceparent", "ce_specversion"]);
        let value = match rng.below(6) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(bytes(rng, 20)),
            3 => Some(bytes(rng, 4_000)),
            _ => Some(b"text/plain".to_vec()),
        };
        headers.push((name.to_owned(), value));
    }
    headers
}

fn bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&rng.draw().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_record_and_every_shape_is_met() {
        let shapes = Shapes { seed: 3, keys: 200, null_keys: 100, awkward: 500, huge: 50_000 };
        let all: Vec<Shape> = (0..5_000).map(|number| shapes.record(number)).collect();
        assert_eq!(all[17], shapes.record(17));
        assert!(all.iter().any(|one| one.key.is_none()));
        assert!(all.iter().any(|one| one.key.as_deref() == Some(b"")));
        assert!(all.iter().any(|one| one.key.as_ref().is_some_and(|key| key.len() == 7_000)));
        assert!(all.iter().any(|one| one.value.is_none() && one.key.is_some()));
        assert!(all.iter().any(|one| one.value.as_deref() == Some(b"")));
        assert!(all.iter().any(|one| one.value.as_ref().is_some_and(|value| value.len() > 10_000)));
        let twice = |one: &Shape| one.headers.iter().filter(|(name, _)| name == "a").count() > 1;
        assert!(all.iter().any(twice));
        assert!(all.iter().any(|one| one.headers.iter().any(|(_, value)| value.is_none())));
    }
}
