//! JSON as our texts use it: integers only, nothing null, no key twice.
//!
//! Two readers that disagree about a duplicate key or an unknown field can be made to see two
//! different texts under one signature. So duplicates, floats and nulls are refused before a typed
//! reader sees the text, and the types refuse unknown fields where they would change a meaning.

use std::{collections::BTreeSet, fmt::Write as _};

use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use thiserror::Error;

use crate::strict::Strict;

/// Why a text was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON, or not the shape that was expected.
    #[error("the text does not have the expected shape: {reason}")]
    Shape {
        /// What the reader found, without any of the text's own values.
        reason: String,
    },
}

/// Reads one JSON text and nothing after it.
///
/// # Errors
/// [`JsonError`] for duplicate keys, floats, nulls, an array where `T` has named fields, and
/// whatever `T` refuses.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    let _: Checked = serde_json::from_slice(text).map_err(shape)?;
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = T::deserialize(Strict(&mut reader)).map_err(shape)?;
    reader.end().map_err(shape)?;
    Ok(value)
}

/// Writes `value` compactly, fields in the order of its type.
///
/// # Errors
/// [`JsonError`] if the type cannot be written as JSON.
pub fn to_vec(value: &impl Serialize) -> Result<Vec<u8>, JsonError> {
    serde_json::to_vec(value).map_err(shape)
}

/// Canonical text (`formats.md` §7.2 step 2): no blanks, keys sorted bytewise, minimal escapes.
///
/// # Errors
/// [`JsonError`] for a null or a number that is not an integer, at any depth.
pub fn canonical(value: &Value) -> Result<String, JsonError> {
    let mut text = String::new();
    write_canonical(value, &mut text)?;
    Ok(text)
}

fn write_canonical(value: &Value, out: &mut String) -> Result<(), JsonError> {
    match value {
        Value::Null => return Err(JsonError::Shape { reason: "null has no canonical text".into() }),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{number}");
        }
        Value::Number(_) => return Err(JsonError::Shape { reason: "only integers have a canonical text".into() }),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out)?;
            }
            out.push(']');
        }
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write_canonical(&object[key], out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// serde's texts name fields and positions; those of `invalid type` and `unknown variant` also
/// quote a value, and those of `unknown field` a name, which may be anything, so they are cut.
#[expect(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn shape(error: serde_json::Error) -> JsonError {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let reason = match text.split_once("invalid type: ").or_else(|| text.split_once("invalid value: ")) {
        Some((_, rest)) => match rest.rsplit_once(", expected ") {
            Some((_, expected)) => format!("expected {expected}"),
            None => format!("a value of the wrong type{place}"),
        },
        None if text.starts_with("unknown variant") => format!("a word that is not known here{place}"),
        None if text.starts_with("unknown field") => match text.split('`').nth(1).filter(|name| is_plain(name)) {
            Some(name) => format!("a field `{name}` that is not known here{place}"),
            None => format!("a field that is not known here{place}"),
        },
        None => text,
    };
    JsonError::Shape { reason }
}

/// A name as our own fields have them, so that showing it shows nothing else.
fn is_plain(name: &str) -> bool {
    name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON without nulls, floats and duplicate keys")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Checked, E> {
        Err(E::custom("a number that is not an integer"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Checked, E> {
        Err(E::custom("a null, where an absent field was expected"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            if !seen.insert(key) {
                return Err(A::Error::custom("a key that stands twice in one object"));
            }
            map.next_value::<Checked>()?;
        }
        Ok(Checked)
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"[{"a":1,"\u0061":2}]"#,
            r#"{"a":null}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":1} x"#,
            r#"{"a":1}{}"#,
            r"{",
            "",
        ] {
            assert!(from_slice::<Value>(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(from_slice::<Value>(br#"{"a":[1,-2,true,"x",{}]}"#).is_ok());
        assert!(from_slice::<Value>("[".repeat(10_000).as_bytes()).is_err());
    }

    #[test]
    fn canonical_text_is_the_one_of_the_formats_page() -> Result<(), JsonError> {
        let value = json!({"b": [1, -1, true], "a": "\u{1}\u{8}\t\n\u{c}\r\"\\/é\u{7f}", "Z": {}});
        assert_eq!(canonical(&value)?, "{\"Z\":{},\"a\":\"\\u0001\\b\\t\\n\\f\\r\\\"\\\\/é\u{7f}\",\"b\":[1,-1,true]}");
        assert!(canonical(&json!({"a": null})).is_err());
        assert!(canonical(&json!([0.5])).is_err());
        Ok(())
    }

    #[test]
    fn a_refusal_does_not_quote_the_value() {
        let error = from_slice::<u64>(br#""abacus abdomen""#).err().map(|e| e.to_string());
        assert_eq!(
            error.as_deref(),
            Some("the text does not have the expected shape: expected u64 at line 1 column 16")
        );
    }
}
