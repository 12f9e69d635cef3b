//! Numbers for people. They are quantised, so that a pipeline where nothing happens says the same from one reconcile to the next.

/// Below this many records per second nothing moves: what is left is the tail of a mean that decays for ever.
const STILL: f64 = 0.05;

/// A rate with two significant digits; 0 when nothing moves.
pub(super) fn rounded(rate: f64) -> f64 {
    if rate.is_finite() && rate >= STILL { significant(rate, 1) } else { 0.0 }
}

/// Two significant digits, for things learned: 0 and what is no number stay out.
pub(super) fn learned(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then(|| significant(value, 1))
}

/// A share with two decimals.
pub(super) fn share(share: f64) -> f64 {
    (share.clamp(0.0, 1.0) * 100.0).round() / 100.0
}

/// A whole number of records.
pub(super) fn records(records: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates, and no log holds 2^63 records")]
    let whole = records.max(0.0).round() as i64;
    whole
}

/// `0/s`, `0.3/s`, `24/s`, `2.4k/s`, `1.2M/s`.
pub(super) fn rate(rate: f64) -> String {
    let rate = rounded(rate);
    let (scaled, unit) = match rate {
        _ if rate >= 1e6 => (rate / 1e6, "M"),
        _ if rate >= 1e3 => (rate / 1e3, "k"),
        _ => (rate, ""),
    };
    // Display of a float is its shortest form: 2.4, 24, 240.
    format!("{}{unit}/s", significant(scaled, 1))
}

/// `4s`, `2m30s`, `125m`, `5h10m`, `30h`, `9d`: the form of kubectl's AGE column (apimachinery's `HumanDuration`), whose coarse units
/// stand still for longer the larger they are.
pub(super) fn span(seconds: f64) -> String {
    let seconds = records(seconds);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let pair = |large: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60 / 10 * 10, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60 / 10 * 10, "m"),
        28_800..172_800 => format!("{hours}h"),
        _ => format!("{}d", hours / 24),
    }
}

/// The nearest number that has so many digits after its first. Text and back is what gives the same bits every time.
fn significant(value: f64, digits: usize) -> f64 {
    format!("{value:.digits$e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        let of = [(0.0, "0/s"), (0.049, "0/s"), (0.251, "0.25/s"), (9.96, "10/s"), (24.4, "24/s"), (996.0, "1k/s")];
        for (given, expected) in of.into_iter().chain([(2_449.0, "2.4k/s"), (999_999.0, "1M/s"), (1.26e6, "1.3M/s")]) {
            assert_eq!(rate(given), expected, "{given}");
        }
        assert_eq!((rate(f64::NAN), rate(f64::INFINITY), rate(-1.0)), ("0/s".into(), "0/s".into(), "0/s".into()));
    }

    #[test]
    fn spans_are_those_of_kubectl() {
        let of = [(0.4, "0s"), (4.0, "4s"), (119.0, "119s"), (150.0, "2m30s"), (180.0, "3m"), (7_500.0, "125m")];
        for (given, expected) in of.into_iter().chain([(18_600.0, "5h10m"), (108_000.0, "30h"), (800_000.0, "9d")]) {
            assert_eq!(span(given), expected, "{given}");
        }
    }

    #[test]
    fn a_decaying_mean_comes_to_rest() {
        let tail: Vec<f64> = (0..200).map(|tick| rounded(0.04 * 0.9_f64.powi(tick))).collect();
        assert!(tail.iter().all(|rate| *rate == 0.0));
    }
}
