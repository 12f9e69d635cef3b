//! Whether an object in the cluster already is as it was rendered: the question behind "nothing is sent where nothing would change".

use serde_json::Value;

/// True when `live` holds everything that `wanted` says.
///
/// What the API server adds (defaults, status, other managers' fields of a map) does not count. Lists must have the same length, so that
/// an element that is no longer wanted is noticed. Quantities are compared by value: the API server writes `0.5` as `500m`.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (_, Value::Null) => true,
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| match live.get(key) {
            Some(live) if key == "limits" || key == "requests" => covers_quantities(live, wanted),
            Some(Value::String(live)) if key == "sizeLimit" => same_quantity(live, wanted.as_str().unwrap_or_default()),
            Some(live) => covers(live, wanted),
            None => is_empty(wanted),
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

/// Empty lists, maps and nulls are left out by the API server.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn covers_quantities(live: &Value, wanted: &Value) -> bool {
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else { return covers(live, wanted) };
    live.len() == wanted.len()
        && wanted.iter().all(|(name, wanted)| match (live.get(name), wanted) {
            (Some(Value::String(live)), Value::String(wanted)) => same_quantity(live, wanted),
            (live, wanted) => live == Some(wanted),
        })
}

fn same_quantity(one: &str, other: &str) -> bool {
    one == other || matches!((quantity(one), quantity(other)), (Some(one), Some(other)) if one == other)
}

/// A Kubernetes quantity in billionths, exact for everything that the API server writes. Source: `apimachinery/pkg/api/resource`.
fn quantity(text: &str) -> Option<i128> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let nano: i128 = 1_000_000_000;
    let scale = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => nano,
        "k" => nano * 1_000,
        "M" => nano * 1_000_000,
        "G" => nano * 1_000_000_000,
        "T" => nano * 1_000_000_000_000,
        "Ki" => nano << 10,
        "Mi" => nano << 20,
        "Gi" => nano << 30,
        "Ti" => nano << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut value = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.chars() {
        unit /= 10;
        value = value.checked_add(i128::from(digit.to_digit(10)?) * unit)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let live =
            json!({"spec": {"replicas": 2, "paused": false, "list": [{"name": "a", "protocol": "TCP"}]}, "status": {}});
        assert!(covers(&live, &json!({"spec": {"replicas": 2, "list": [{"name": "a"}], "none": null, "empty": []}})));
    }

    #[test]
    fn a_changed_or_missing_value_and_a_longer_list_are_differences() {
        let live = json!({"replicas": 2, "list": [1, 2], "map": {"a": "b"}});
        for wanted in
            [json!({"replicas": 3}), json!({"list": [1]}), json!({"map": {"c": "d"}}), json!({"list": [2, 1]})]
        {
            assert!(!covers(&live, &wanted), "{wanted}");
        }
    }

    #[test]
    fn quantities_are_compared_by_value() {
        for (live, wanted) in [("500m", "0.5"), ("1", "1000m"), ("1Gi", "1024Mi"), ("128Mi", "128Mi"), ("2k", "2000")] {
            assert!(covers(&json!({"limits": {"cpu": live}}), &json!({"limits": {"cpu": wanted}})), "{live} {wanted}");
        }
        assert!(!covers(&json!({"limits": {"cpu": "1"}}), &json!({"limits": {"cpu": "2"}})));
        assert!(!covers(&json!({"limits": {"cpu": "1", "memory": "1"}}), &json!({"limits": {"cpu": "1"}})));
    }
}
