//! Text in an order: what cannot be shown as it is, is none.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

/// Characters of one line, at most.
const MAX_LINE: usize = 400;

/// One line without control, bidirectional or invisible characters; not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(String);

/// An absolute path in its plain form: no `.`, no `..`, no double or closing `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderedPath(Line);

/// The text is no such line or path.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct LineError(&'static str);

impl Line {
    /// What can be said of a text from elsewhere: other characters become a sign for them, and it is cut.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        let mut line: String =
            text.chars().take(MAX_LINE).map(|c| if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
        if text.chars().nth(MAX_LINE).is_some() {
            line.pop();
            line.push('…');
        }
        if line.is_empty() { Self("-".to_owned()) } else { Self(line) }
    }

    /// It.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OrderedPath {
    /// It.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Whether a person sees this character as itself.
fn is_shown(c: char) -> bool {
    let is_hidden = c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}');
    !is_hidden
}

impl FromStr for Line {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        if text.is_empty() || text.chars().nth(MAX_LINE).is_some() || !text.chars().all(is_shown) {
            return Err(LineError("a line of 1 to 400 characters was expected, each of which can be seen"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for OrderedPath {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        match text.strip_prefix('/') {
            Some(rest) if rest.split('/').all(plain) => text.parse().map(Self),
            _ => Err(LineError("an absolute path without `.`, `..` and double `/` was expected")),
        }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

as_text!(Line);
as_text!(OrderedPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shown_is_no_line() {
        for bad in ["", "a\nb", "a\u{1b}[2J", "a\u{202e}b", "a\u{200b}b", "a\u{e0041}", &"x".repeat(MAX_LINE + 1)] {
            assert!(bad.parse::<Line>().is_err(), "{bad:?}");
            assert!(Line::cut(bad).as_str().parse::<Line>().is_ok(), "{bad:?}");
        }
        assert_eq!(Line::cut("Bäckerei 屋 \"x\"").as_str(), "Bäckerei 屋 \"x\"");
    }

    #[test]
    fn a_path_has_one_form() {
        assert!("/srv/data".parse::<OrderedPath>().is_ok());
        for bad in ["", "/", "srv", "/srv/", "/srv//data", "/srv/./data", "/srv/../etc", "/srv/\u{202e}x"] {
            assert!(bad.parse::<OrderedPath>().is_err(), "{bad:?}");
        }
    }
}
