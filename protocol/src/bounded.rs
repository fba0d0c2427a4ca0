//! Texts and lists that cannot be larger than their reader has room for.
//!
//! A list is refused while it is being read, not after it was. Whoever *makes* such a value cuts,
//! and counts what did not fit: what is dropped in silence would be good news that nobody checked.

use std::{fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, SeqAccess, Visitor},
};

/// A text of at most `MAX` characters. It may hold any character: whoever shows it makes it harmless.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<const MAX: usize>(String);

/// At most `MAX` things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<const MAX: usize> Text<MAX> {
    /// `text`, cut to what fits; what was cut ends in `…`.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        match text.char_indices().nth(MAX) {
            None => Self(text.to_owned()),
            Some(_) => Self(text.chars().take(MAX.saturating_sub(1)).chain(['…']).collect()),
        }
    }

    /// It as it is, not yet harmless.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of `items`, and how many did not fit.
    #[must_use]
    pub fn cut(items: impl IntoIterator<Item = T>) -> (Self, u64) {
        let mut items = items.into_iter();
        let kept = items.by_ref().take(MAX).collect();
        (Self(kept), u64::try_from(items.count()).unwrap_or(u64::MAX))
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.chars().nth(MAX).is_some() {
            return Err(D::Error::custom(format_args!("a text of at most {MAX} characters was expected")));
        }
        Ok(Self(text))
    }
}

impl<T: Serialize, const MAX: usize> Serialize for List<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor::<T, MAX>(PhantomData))
    }
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = List<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(item) = items.next_element()? {
            if kept.len() == MAX {
                return Err(A::Error::custom(format_args!("a list of at most {MAX} was expected")));
            }
            kept.push(item);
        }
        Ok(List(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_where_it_is_made_and_refused_where_it_is_read() {
        assert_eq!(Text::<4>::cut("abcd").as_str(), "abcd");
        assert_eq!(Text::<4>::cut("äöüßé").as_str(), "äöü…");
        assert_eq!(List::<u8, 3>::cut([1, 2, 3]), (List(vec![1, 2, 3]), 0));
        assert_eq!(List::<u8, 3>::cut([1, 2, 3, 4, 5]), (List(vec![1, 2, 3]), 2));
        assert!(serde_json::from_str::<Text<4>>("\"äöüß\"").is_ok());
        assert!(serde_json::from_str::<Text<4>>("\"abcde\"").is_err());
        assert!(serde_json::from_str::<List<u8, 3>>("[1,2,3]").is_ok());
        assert!(serde_json::from_str::<List<u8, 3>>("[1,2,3,4]").is_err());
    }
}
