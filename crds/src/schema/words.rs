//! Fields whose value is one of a few words: the schema says of each word what it means.

use schemars::Schema;
use serde_json::Value;

/// Puts the meaning of each word behind a field's own description: `#[schemars(transform = …)]` on the field.
///
/// It also takes away what the type says of itself: kube puts that in the place of an optional field's own description
/// (`kube::core::schema::OptionalEnum`), and with it the default would be gone.
pub(crate) fn tell_words(field: &mut Schema) {
    let mut meanings = Vec::new();
    // The field is of the type, or of it or null.
    for words in ["/oneOf", "/anyOf/0/oneOf"] {
        let words = field.pointer(words).and_then(Value::as_array).into_iter().flatten();
        meanings.extend(words.filter_map(meaning));
    }
    if let Some(Value::Object(of_type)) = field.pointer_mut("/anyOf/0") {
        of_type.remove("description");
    }
    if let Some(Value::String(own)) = field.get_mut("description") {
        for meaning in meanings {
            own.push('\n');
            own.push_str(&meaning);
        }
    }
}

fn meaning(word: &Value) -> Option<String> {
    let (name, meaning) = (word.get("const")?.as_str()?, word.get("description")?.as_str()?);
    Some(format!("`{name}`: {}", meaning.replace('\n', " ")))
}
