//! The text of `storage.cfg`, `jobs.cfg` and their kin, read as PVE reads it and changed without
//! losing a byte.
//!
//! The rules are those of PVE's `SectionConfig.pm`, tried on the real one (`docs/findings/pmxcfs.md`);
//! some surprise:
//!
//! - A stanza ends at a line that is really empty (or is `0`), not at one of blanks. In a file with
//!   CRLF no line is empty, so that everything after the first header belongs to the first stanza.
//! - A header inside a stanza is no header; it is a line that PVE ignores.
//! - A line that starts with `#` (after blanks) is a comment, wherever it stands.
//! - A property given twice counts as first given; of two stanzas with one id the later counts.
//!
//! PVE itself drops comments, unknown stanzas and unknown properties when it writes such a file. This
//! reader keeps them: what is not changed stays byte for byte.

use std::{borrow::Cow, ops::Range};

use super::error::PveError;

/// A whole text, in lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    lines: Vec<Line>,
}

/// One stanza: `type: id` and what is indented below it.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    lines: &'a [Line],
    header: usize,
}

/// One `key value` of a stanza. (What is not UTF-8 shows as U+FFFD here and stays in the text.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property<'a> {
    /// The first word.
    pub key: Cow<'a, str>,
    /// The rest without blanks around it; `None` for a word alone, which means "yes".
    pub value: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// With its line feed, if it has one.
    text: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Belongs to no stanza, or is ignored within one.
    Other,
    /// Ranges into the line.
    Header {
        section: Range<usize>,
        id: Range<usize>,
    },
    Property {
        key: Range<usize>,
        value: Option<Range<usize>>,
    },
}

impl Sections {
    /// Takes any text; there is none that cannot be read.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut inside = false;
        let lines = text.split_inclusive(|&byte| byte == b'\n').map(|line| {
            let body = line.strip_suffix(b"\n").unwrap_or(line);
            let kind = if is_comment(body) {
                Kind::Other
            } else if ends_a_section(body) {
                inside = false;
                Kind::Other
            } else if inside {
                property(body).unwrap_or(Kind::Other)
            } else {
                let header = header(body);
                inside = header.is_some();
                header.unwrap_or(Kind::Other)
            };
            Line { text: line.to_owned(), kind }
        });
        Self { lines: lines.collect() }
    }

    /// The text.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| &line.text).copied().collect()
    }

    /// Every stanza, in order, those that PVE would skip included.
    pub fn iter(&self) -> impl Iterator<Item = Section<'_>> {
        let headers = (0..self.lines.len()).filter(|&index| matches!(self.lines[index].kind, Kind::Header { .. }));
        headers.map(|header| Section { lines: &self.lines, header })
    }

    /// The stanza that counts for this id: the last one.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Section<'_>> {
        self.iter().filter(|section| section.id() == id).last()
    }

    /// Adds a stanza at the end, in the form in which PVE writes one. An empty value stands for a word
    /// alone.
    ///
    /// # Errors
    /// [`PveError::Sections`] for a word or value that would not be read back as it is.
    pub fn append(&mut self, section: &str, id: &str, properties: &[(&str, &str)]) -> Result<(), PveError> {
        let mut text = self.to_bytes();
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        // Only a line that is really empty ends what came before.
        if !text.is_empty() && !text.ends_with(b"\n\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(format!("{section}: {id}\n").as_bytes());
        for (key, value) in properties {
            let blank = if value.is_empty() { "" } else { " " };
            text.extend_from_slice(format!("\t{key}{blank}{value}\n").as_bytes());
        }
        text.push(b'\n');
        let new = Self::parse(&text);
        let same = |added: Section<'_>| {
            added.kind() == section
                && added.id() == id
                && added
                    .properties()
                    .map(Property::into_pair)
                    .eq(properties.iter().map(|(k, v)| (k.to_string(), v.to_string())))
        };
        if new.iter().count() != self.iter().count() + 1 || !new.iter().last().is_some_and(same) {
            return Err(PveError::Sections {
                why: "a word or value of the new stanza would be read as something else",
            });
        }
        *self = new;
        Ok(())
    }

    /// Gives a property of the stanza that counts for `id` this value, adding the property if it is missing.
    ///
    /// # Errors
    /// [`PveError::Sections`]: no such stanza, or as for [`Self::append`].
    pub fn set(&mut self, id: &str, key: &str, value: &str) -> Result<(), PveError> {
        let header = self.find(id).map(|section| section.header);
        let header = header.ok_or(PveError::Sections { why: "there is no such stanza" })?;
        let mut lines: Vec<Vec<u8>> = self.lines.iter().map(|line| line.text.clone()).collect();
        let body = (header + 1..self.lines.len()).take_while(|&at| !matches!(self.lines[at].kind, Kind::Header { .. }));
        let mut last = header;
        let mut place = None;
        for at in body {
            if let Kind::Property { key: name, value: old } = &self.lines[at].kind {
                last = at;
                if place.is_none() && &lines[at][name.clone()] == key.as_bytes() {
                    place = Some((at, name.end, old.clone()));
                }
            }
        }
        match place {
            Some((at, _, Some(old))) => drop(lines[at].splice(old, value.bytes())),
            Some((at, end, None)) => drop(lines[at].splice(end..end, format!(" {value}").into_bytes())),
            None => {
                if !lines[last].ends_with(b"\n") {
                    lines[last].push(b'\n');
                }
                lines.insert(last + 1, format!("\t{key} {value}\n").into_bytes());
            }
        }
        let new = Self::parse(&lines.concat());
        let is_set = new.find(id).and_then(|section| section.get(key)).flatten().is_some_and(|there| there == value);
        let others = |sections: &Self| -> Vec<_> {
            let keep = |section: &Section<'_>, property: &Property<'_>| section.id() != id || property.key != key;
            sections
                .iter()
                .flat_map(|section| section.properties().filter(move |p| keep(&section, p)).map(Property::into_pair))
                .collect()
        };
        if !is_set || new.iter().count() != self.iter().count() || others(&new) != others(self) {
            return Err(PveError::Sections { why: "the word or value would be read as something else" });
        }
        *self = new;
        Ok(())
    }

    /// Takes away the stanza that counts for `id`, with the empty line that ends it; all else stays byte for
    /// byte. `false` if there is none.
    ///
    /// # Errors
    /// [`PveError::Sections`] if another stanza would be read as something else then.
    pub fn remove(&mut self, id: &str) -> Result<bool, PveError> {
        let Some(header) = self.find(id).map(|section| section.header) else { return Ok(false) };
        let is_end = |line: &Line| ends_a_section(line.text.strip_suffix(b"\n").unwrap_or(&line.text));
        let after = self.lines[header..].iter().position(is_end).map_or(self.lines.len(), |end| header + end + 1);
        let rest = self.lines[..header].iter().chain(&self.lines[after..]);
        let new = Self::parse(&rest.flat_map(|line| &line.text).copied().collect::<Vec<u8>>());
        let pairs = |section: Section<'_>| -> Vec<_> { section.properties().map(Property::into_pair).collect() };
        let all = |sections: &Self, leave: Option<usize>| -> Vec<_> {
            let kept = sections.iter().filter(|section| Some(section.header) != leave);
            kept.map(|section| (section.kind().into_owned(), section.id().into_owned(), pairs(section))).collect()
        };
        if all(&new, None) != all(self, Some(header)) {
            return Err(PveError::Sections { why: "another stanza would be read as something else without it" });
        }
        *self = new;
        Ok(true)
    }
}

impl Property<'_> {
    fn into_pair(self) -> (String, String) {
        (self.key.into_owned(), self.value.unwrap_or_default().into_owned())
    }
}

impl<'a> Section<'a> {
    /// The word before the colon, as it stands there (PVE lowers its case for storages).
    #[must_use]
    pub fn kind(&self) -> Cow<'a, str> {
        self.part(|section, _| section)
    }

    /// The word after the colon.
    #[must_use]
    pub fn id(&self) -> Cow<'a, str> {
        self.part(|_, id| id)
    }

    /// All properties, in order, repeated ones included.
    pub fn properties(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let until_next = |line: &&'a Line| !matches!(line.kind, Kind::Header { .. });
        self.lines[self.header + 1..].iter().take_while(until_next).filter_map(|line| match &line.kind {
            Kind::Property { key, value } => Some(Property {
                key: String::from_utf8_lossy(&line.text[key.clone()]),
                value: value.clone().map(|value| String::from_utf8_lossy(&line.text[value])),
            }),
            _ => None,
        })
    }

    /// The value that counts: the first one. `Some(None)` is a word alone.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Option<Cow<'a, str>>> {
        self.properties().find(|property| property.key == key).map(|property| property.value)
    }

    /// Whether both are the same stanza of the same text.
    #[must_use]
    pub fn is_same(&self, other: &Section<'_>) -> bool {
        self.header == other.header && std::ptr::eq(self.lines, other.lines)
    }

    fn part(&self, pick: impl Fn(Range<usize>, Range<usize>) -> Range<usize>) -> Cow<'a, str> {
        let line = &self.lines[self.header];
        match &line.kind {
            Kind::Header { section, id } => String::from_utf8_lossy(&line.text[pick(section.clone(), id.clone())]),
            _ => Cow::Borrowed(""),
        }
    }
}

/// Perl's `\s` on bytes.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_comment(body: &[u8]) -> bool {
    body.iter().find(|&&byte| !is_blank(byte)) == Some(&b'#')
}

/// What is false to Perl: nothing, and a zero.
fn ends_a_section(body: &[u8]) -> bool {
    matches!(body, b"" | b"0")
}

/// `type:id` or `type: id`; the type reaches to the last colon that leaves an id.
fn header(body: &[u8]) -> Option<Kind> {
    let end = body.iter().rposition(|&byte| !is_blank(byte))? + 1;
    let first_blank = body.iter().position(|&byte| is_blank(byte)).unwrap_or(body.len());
    let colon = (1..first_blank.min(end)).rev().find(|&at| body[at] == b':' && at + 1 < end)?;
    let id = colon + 1 + body[colon + 1..end].iter().position(|&byte| !is_blank(byte))?;
    let one_word = !body[id..end].iter().any(|&byte| is_blank(byte));
    one_word.then_some(Kind::Header { section: 0..colon, id: id..end })
}

/// Blanks, a word, and perhaps more.
fn property(body: &[u8]) -> Option<Kind> {
    let key = body.iter().position(|&byte| !is_blank(byte)).filter(|&at| at > 0)?;
    let end = body.iter().rposition(|&byte| !is_blank(byte))? + 1;
    let key_end = body[key..end].iter().position(|&byte| is_blank(byte)).map_or(end, |at| key + at);
    let value = body[key_end..end].iter().position(|&byte| !is_blank(byte)).map(|at| key_end + at..end);
    Some(Kind::Property { key: key..key_end, value })
}
