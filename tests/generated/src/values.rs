//! The chart's values with their documentation, read from the comments of values.yaml: `# -- …` above a key tells about it, in the
//! notation of helm-docs.

use std::fmt::Write as _;

use serde_json::Value as Json;

/// One documented value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Keys from the top, joined by dots.
    pub key: String,
    /// The default as JSON, on one line.
    pub default: String,
    /// What the comment says.
    pub description: String,
}

/// All documented values in the order of the file.
///
/// # Errors
/// When the text is not YAML.
pub fn values(text: &str) -> Result<Vec<Value>, serde_norway::Error> {
    let all: Json = serde_norway::from_str(text)?;
    let mut found = Vec::new();
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut comment: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(start) = trimmed.strip_prefix("# -- ") {
            comment = Some(start.to_owned());
        } else if let (Some(more), Some(comment)) = (trimmed.strip_prefix("# "), &mut comment) {
            comment.push(' ');
            comment.push_str(more);
        } else if let Some((key, _)) = key_of(trimmed) {
            let indent = line.len() - trimmed.len();
            path.retain(|(outer, _)| *outer < indent);
            path.push((indent, key));
            if let Some(description) = comment.take() {
                let keys: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
                let default =
                    keys.iter().try_fold(&all, |value, key| value.get(key)).unwrap_or(&Json::Null).to_string();
                found.push(Value { key: keys.join("."), default, description });
            }
        }
    }
    Ok(found)
}

/// Leaves of the file that no comment tells about: neither they nor a value around them.
///
/// # Errors
/// When the text is not YAML.
pub fn undocumented(text: &str) -> Result<Vec<String>, serde_norway::Error> {
    let documented: Vec<String> = values(text)?.into_iter().map(|value| value.key).collect();
    let mut missing = Vec::new();
    walk(String::new(), &serde_norway::from_str(text)?, &documented, &mut missing);
    Ok(missing)
}

fn walk(path: String, value: &Json, documented: &[String], missing: &mut Vec<String>) {
    match value {
        _ if documented.contains(&path) => {}
        Json::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(path, value, documented, missing);
            }
        }
        _ => missing.push(path),
    }
}

/// `key` of a line `key: …`, if it is one.
fn key_of(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = line.split_once(':')?;
    let plain = !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric());
    (plain && (rest.is_empty() || rest.starts_with(' '))).then_some((key, rest))
}

/// The values as a Markdown table.
pub fn table(values: &[Value]) -> String {
    let mut text = String::from("| value | default | meaning |\n|---|---|---|\n");
    for Value { key, default, description } in values {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{key}` | `{}` | {} |", default.replace('|', "\\|"), description.replace('|', "\\|"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# -- How many\n# there are.\ncount: 1\nimage:\n  # -- Where.\n  name: a|b\nbare: {}\n";

    #[test]
    fn comments_belong_to_the_key_below_them() {
        let found = values(TEXT).unwrap();
        assert_eq!(
            found[0],
            Value { key: "count".into(), default: "1".into(), description: "How many there are.".into() }
        );
        assert_eq!((found[1].key.as_str(), found.len()), ("image.name", 2));
        assert!(table(&found).contains("| `image.name` | `\"a\\|b\"` | Where. |"));
    }

    #[test]
    fn a_value_without_words_is_named() {
        assert_eq!(undocumented(TEXT).unwrap(), ["bare"]);
    }
}
