//! Records for the output topic, as an answer's body holds them: CloudEvents in JSON, as [`event`](super::event) writes them.
//! What an event does not say of its key is as in the record that it answers; other attributes say nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use penstock_engine::seam::{OutputHeader, OutputRecord, Record};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::encoding::{decode, decode_headers};

/// An event, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    datacontenttype: Option<String>,
    penstockkey: Option<String>,
    penstocknull: Option<String>,
    penstockheaders: Option<String>,
}

impl Event<'_> {
    /// The record, in answer to `cause`.
    pub(super) fn into_record(self, cause: &Record) -> Result<OutputRecord, String> {
        let (key_null, value_null) = nulls(self.penstocknull.as_deref())?;
        let key = match &self.penstockkey {
            Some(_) if key_null => return Err("an event has penstockkey although penstocknull says key".to_owned()),
            None if key_null => None,
            Some(key) => Some(decode(key.as_bytes()).into_boxed_slice()),
            None => cause.key().map(Box::from),
        };
        let value = self.value()?;
        if value.is_some() == value_null {
            return Err("an event needs one of data, data_base64, or penstocknull that says value".to_owned());
        }
        let headers = self.penstockheaders.map(|list| decode_headers(list.as_bytes())).unwrap_or_default();
        let content_type = self.datacontenttype.filter(|_| !value_null);
        Ok(OutputRecord { key, value, headers: with_content_type(headers, content_type.as_deref().map(str::as_bytes)) })
    }

    fn value(&self) -> Result<Option<Box<[u8]>>, String> {
        match (self.data, &self.data_base64) {
            (None, None) => Ok(None),
            (None, Some(text)) => {
                BASE64.decode(text).map(|bytes| Some(bytes.into())).map_err(|error| format!("data_base64: {error}"))
            }
            (Some(data), None) if is_json(self.datacontenttype.as_deref()) => Ok(Some(data.get().as_bytes().into())),
            (Some(data), None) => serde_json::from_str::<String>(data.get())
                .map(|text| Some(text.into_bytes().into()))
                .map_err(|_| "data must be a string unless datacontenttype is JSON".to_owned()),
            (Some(_), Some(_)) => Err("an event has both data and data_base64".to_owned()),
        }
    }
}

/// Adds the header `content-type`, unless there is one.
pub(super) fn with_content_type(mut headers: Vec<OutputHeader>, content_type: Option<&[u8]>) -> Vec<OutputHeader> {
    let named = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
    if let Some(content_type) = content_type.filter(|_| !named) {
        headers.push((Box::from(&b"content-type"[..]), Some(Box::from(content_type))));
    }
    headers
}

/// Whether `data` is a JSON value and not text. It is where nothing is said (CloudEvents' JSON format 1.0.2, section 3.1).
fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Whether key and value are said to be null.
fn nulls(list: Option<&str>) -> Result<(bool, bool), String> {
    let mut nulls = (false, false);
    for word in list.into_iter().flat_map(|list| list.split(',')) {
        match word.trim() {
            "key" => nulls.0 = true,
            "value" => nulls.1 = true,
            _ => return Err("penstocknull is none of key, value, and key,value".to_owned()),
        }
    }
    Ok(nulls)
}

#[cfg(test)]
mod tests {
    use penstock_engine::seam::{ArenaBuilder, NewRecord};

    use super::*;

    fn read(json: &str) -> Result<OutputRecord, String> {
        let mut arena = ArenaBuilder::default();
        arena.push(NewRecord { key: Some(b"k"), value: Some(b"v"), ..NewRecord::default() }).unwrap();
        let cause = arena.finish().record(0).unwrap();
        serde_json::from_str::<Event<'_>>(json).map_err(|error| error.to_string())?.into_record(&cause)
    }

    #[test]
    fn json_goes_as_it_was_written_and_text_as_text() {
        let value = |json: &str| read(json).unwrap().value.unwrap();
        assert_eq!(&*value(r#"{"data": {"b": 1.10,  "a": 2}}"#), br#"{"b": 1.10,  "a": 2}"#);
        assert_eq!(&*value(r#"{"data": "x"}"#), br#""x""#, "JSON unless said otherwise");
        assert_eq!(&*value(r#"{"data": "x\n", "datacontenttype": "text/plain"}"#), b"x\n");
        assert_eq!(&*value(r#"{"data_base64": "/w=="}"#), b"\xff");
        assert_eq!(&*value(r#"{"data_base64": ""}"#), b"");
    }

    #[test]
    fn the_key_is_the_record_s_own_unless_said_otherwise() {
        let key = |more: &str| read(&format!(r#"{{"data": 1{more}}}"#)).unwrap().key;
        assert_eq!(key("").as_deref(), Some(&b"k"[..]));
        assert_eq!(key(r#", "penstockkey": "a%FF""#).as_deref(), Some(&b"a\xff"[..]));
        assert_eq!(key(r#", "penstocknull": "key""#), None);
    }

    #[test]
    fn a_tombstone_is_said_and_never_guessed() {
        assert_eq!(read(r#"{"penstocknull": "value"}"#).unwrap().value, None);
        for wrong in [
            "{}",
            r#"{"data": null}"#,
            r#"{"data": 1, "penstocknull": "value"}"#,
            r#"{"data": 1, "data_base64": ""}"#,
            r#"{"data": 1, "penstocknull": "vlaue"}"#,
            r#"{"data": 1, "penstocknull": "key", "penstockkey": "k"}"#,
            r#"{"data": 1, "datacontenttype": "text/plain"}"#,
            r#"{"data_base64": "/w"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_keep_order_and_the_content_type_joins_them() {
        let json = r#"{"data": 1, "datacontenttype": "application/json", "penstockheaders": "a=1&a&b=%FF"}"#;
        let names: Vec<_> = read(json).unwrap().headers.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [&b"a"[..], b"a", b"b", b"content-type"].map(Box::from));
    }
}
