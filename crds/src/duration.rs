//! One form of duration everywhere in the resource: a whole number and a unit, `500ms`, `30s`, `10m`, `2h`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The pattern of the schema. At most seven digits, so that even hours stay far from overflow.
pub const DURATION_PATTERN: &str = "^[0-9]{1,7}(ms|s|m|h)$";

/// A span of time as users write it: `500ms`, `30s`, `10m`, `2h`. Millisecond resolution, 0 to 9,999,999 h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(StdDuration);

/// The text is not a duration of the one form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration: write a whole number and a unit, such as 500ms, 30s, 10m or 2h")]
pub struct DurationError(String);

impl Duration {
    /// From whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(StdDuration::from_millis(millis))
    }

    /// From whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(StdDuration::from_secs(seconds))
    }

    /// As the standard library's type.
    pub const fn get(self) -> StdDuration {
        self.0
    }
}

impl std::str::FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError(text.chars().take(40).collect());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or_else(error)?;
        if !(1..=7).contains(&digits) {
            return Err(error());
        }
        let number: u64 = number.parse().map_err(|_| error())?;
        let millis = match unit {
            "ms" => number,
            "s" => number * 1_000,
            "m" => number * 60_000,
            "h" => number * 3_600_000,
            _ => return Err(error()),
        };
        Ok(Self::from_millis(millis))
    }
}

/// The largest unit that loses nothing: 90 s is `90s`, 120 s is `2m`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0s"),
            _ if millis.is_multiple_of(3_600_000) => write!(f, "{}h", millis / 3_600_000),
            _ if millis.is_multiple_of(60_000) => write!(f, "{}m", millis / 60_000),
            _ if millis.is_multiple_of(1_000) => write!(f, "{}s", millis / 1_000),
            _ => write!(f, "{millis}ms"),
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 9})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_in_and_the_same_out() {
        for text in ["500ms", "30s", "10m", "2h", "0s", "90s"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert_eq!("120s".parse::<Duration>().unwrap().to_string(), "2m");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "s", "1", "1.5s", "-1s", "1d", "1 s", "12345678s", "1ms1s", "é"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
