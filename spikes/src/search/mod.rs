//! Looks for secrets where they must not be.
//!
//! What is looked for: the ten words as a phrase (any three that follow each other, in any case,
//! with whatever stands between them, or nothing), and byte strings (key, token) raw, as hex, as a
//! list of numbers, and as base64 at any alignment in either alphabet. Single words are looked for
//! only by [`Search::words_alone_in`], in places that hold no prose: every EFF word is an English word,
//! and the real files that a story copies are full of them.
//!
//! A finding names the secret, its form and the place, and never shows it.

mod forms;
mod sampler;

pub use sampler::{Sampled, Sampler};

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use forms::{Letters, Patterns};

/// A search for a few secrets through many places.
pub struct Search {
    exact: Patterns,
    phrases: Patterns,
    words: Vec<Zeroizing<String>>,
    allowed: Vec<Allowed>,
    looked_at: Looked,
    findings: Vec<Finding>,
    letters: Letters,
    /// What of a file is in memory.
    piece: Vec<u8>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looked {
    /// Files and other places.
    pub places: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Findings where the secret belongs.
    pub belonging: u64,
}

/// A secret in a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub place: String,
    /// Which secret.
    pub secret: String,
    /// In which form.
    pub form: String,
}

struct Allowed {
    place: PathBuf,
    secret: &'static str,
}

/// The name of the ten words in findings.
pub const WORDS: &str = "the ten words";

impl Search {
    /// A search for nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            exact: Patterns::new(),
            phrases: Patterns::new(),
            words: Vec::new(),
            allowed: Vec::new(),
            looked_at: Looked::default(),
            findings: Vec::new(),
            letters: Letters::default(),
            piece: Vec::new(),
        }
    }

    /// Looks for these words too, canonical (lower case, one blank between).
    #[must_use]
    pub fn for_words(mut self, canonical: &str) -> Self {
        let words: Vec<&str> = canonical.split(' ').collect();
        for (index, window) in words.windows(IN_A_ROW).enumerate() {
            let letters: Zeroizing<Vec<u8>> =
                Zeroizing::new(window.iter().flat_map(|word| word.bytes()).filter(u8::is_ascii_lowercase).collect());
            self.phrases.add(WORDS, &format!("words {} to {} in a row", index + 1, index + IN_A_ROW), &letters);
            let text = Zeroizing::new(window.join(" "));
            self.exact.add_coded(WORDS, text.as_bytes());
        }
        self.words = words.iter().map(|word| Zeroizing::new((*word).to_owned())).collect();
        self
    }

    /// Looks for these bytes too, which must be eight at least.
    #[must_use]
    pub fn for_bytes(mut self, secret: &'static str, bytes: &[u8]) -> Self {
        // Halves, so that one that is cut (by a page of a database, a line's end) is found too.
        let half = bytes.len().div_ceil(2).max(SHORTEST_BYTES);
        for half in bytes.chunks(half).filter(|half| half.len() >= SHORTEST_BYTES) {
            self.exact.add(secret, "raw", half);
            self.exact.add_coded(secret, half);
        }
        self
    }

    /// The one place (a file, or everything below a folder) where this secret belongs.
    #[must_use]
    pub fn belongs(mut self, secret: &'static str, place: &Path) -> Self {
        self.allowed.push(Allowed { place: place.to_owned(), secret });
        self
    }

    /// Looks through every file below `place`, and through their names.
    ///
    /// # Errors
    /// A file that is there and cannot be read: an unread place is not a clean one.
    pub fn files(&mut self, place: &Path) -> Result<()> {
        let found = match fs::symlink_metadata(place) {
            Ok(found) => found,
            // Gone since its folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("looking at {}", place.display())),
        };
        self.bytes(&format!("the name {}", place.display()), place.as_os_str().as_bytes());
        if found.is_symlink() {
            let target = fs::read_link(place)?;
            self.bytes(&format!("the link {}", place.display()), target.as_os_str().as_bytes());
        } else if found.is_dir() {
            for entry in fs::read_dir(place).with_context(|| format!("listing {}", place.display()))? {
                self.files(&entry?.path())?;
            }
        } else if found.is_file() {
            let mut file = File::open(place).with_context(|| format!("reading {}", place.display()))?;
            self.stream(place, &mut file).with_context(|| format!("reading {}", place.display()))?;
        }
        Ok(())
    }

    /// Looks through bytes that are already in memory.
    pub fn bytes(&mut self, place: &str, bytes: &[u8]) {
        self.looked_at.places += 1;
        self.looked_at.bytes += bytes.len() as u64;
        let hits = self.hits(bytes);
        self.note(place, None, hits);
    }

    /// Looks through the files below `folders` that were changed since `began`, but for the
    /// folders in `except`. What others take away
    /// meanwhile, or do not let us read, is passed over: these folders are everybody's.
    ///
    /// # Errors
    /// A folder of these cannot be listed.
    pub fn recent_files(&mut self, folders: &[&Path], except: &[&Path], began: SystemTime) -> Result<()> {
        for folder in folders {
            let (Ok(entries), Ok(device)) = (fs::read_dir(folder), fs::metadata(folder).map(|found| found.dev()))
            else {
                continue;
            };
            for entry in entries.flatten() {
                let Ok(found) = entry.metadata() else { continue };
                // What is mounted below may be a /proc, whose files have no end.
                if found.dev() != device || except.contains(&entry.path().as_path()) {
                    continue;
                }
                if found.is_dir() {
                    self.recent_files(&[&entry.path()], except, began)?;
                } else if found.is_file() && changed(&found) >= began && self.files(&entry.path()).is_err() {
                    continue;
                }
            }
        }
        Ok(())
    }

    /// Looks for each of the words alone, between characters that are neither letters nor digits, in
    /// every file below `place`, which holds no prose but what `programs` have written there: a word
    /// that stands in a program's own text is no finding. Short words are left out, noise contains
    /// them. Tells how many of the words that leaves.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn words_alone_in(&mut self, place: &Path, programs: &[&Path]) -> Result<usize> {
        if fs::symlink_metadata(place)?.is_dir() {
            for entry in fs::read_dir(place)? {
                self.words_alone_in(&entry?.path(), programs)?;
            }
        } else {
            let bytes = fs::read(place).with_context(|| format!("reading {}", place.display()))?;
            for (index, word) in self.words_standing_alone(&bytes) {
                let natural = programs.iter().map(|program| has_word(program, &word)).collect::<Result<Vec<_>>>()?;
                if !natural.contains(&true) {
                    self.note(
                        &place.display().to_string(),
                        None,
                        vec![(WORDS.to_owned(), format!("word {} alone", index + 1))],
                    );
                }
            }
        }
        Ok(self.words.iter().filter(|word| word.len() >= SHORTEST_ALONE).count())
    }

    fn words_standing_alone(&self, bytes: &[u8]) -> Vec<(usize, Zeroizing<String>)> {
        let mut wanted = Patterns::new();
        let long = || self.words.iter().enumerate().filter(|(_, word)| word.len() >= SHORTEST_ALONE);
        for (_, word) in long() {
            wanted.add_short(WORDS, word, word.as_bytes());
        }
        let lower = bytes.to_ascii_lowercase();
        let there = wanted.found_in(&lower);
        long()
            .filter(|(_, word)| {
                there.iter().any(|(_, found)| found == word.as_str()) && stands_alone(&lower, word.as_bytes())
            })
            .map(|(index, word)| (index, word.clone()))
            .collect()
    }

    /// What was found where it does not belong.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let unique: BTreeSet<&Finding> = self.findings.iter().collect();
        unique.into_iter().cloned().collect()
    }

    /// How much was looked at.
    #[must_use]
    pub fn looked_at(&self) -> Looked {
        self.looked_at
    }

    fn stream(&mut self, place: &Path, from: &mut dyn io::Read) -> Result<()> {
        self.looked_at.places += 1;
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        loop {
            let kept = piece.len();
            let read = from.take(PIECE as u64).read_to_end(&mut piece)?;
            if read == 0 {
                self.piece = piece;
                return Ok(());
            }
            self.looked_at.bytes += (piece.len() - kept) as u64;
            let hits = self.hits(&piece);
            self.note(&place.display().to_string(), Some(place), hits);
            let start = piece.len().saturating_sub(OVERLAP);
            piece.copy_within(start.., 0);
            let rest = piece.len() - start;
            piece.truncate(rest);
        }
    }

    fn hits(&mut self, bytes: &[u8]) -> Vec<(String, String)> {
        let mut hits = self.exact.found_in(bytes);
        hits.extend(self.phrases.found_in(self.letters.plain(bytes)));
        hits.extend(self.phrases.found_in(self.letters.unescaped(bytes)));
        hits
    }

    fn note(&mut self, place: &str, path: Option<&Path>, hits: Vec<(String, String)>) {
        for (secret, form) in hits {
            let belongs = |allowed: &Allowed| {
                allowed.secret == secret && path.is_some_and(|path| path.starts_with(&allowed.place))
            };
            if self.allowed.iter().any(belongs) {
                self.looked_at.belonging += 1;
            } else {
                self.findings.push(Finding { place: place.to_owned(), secret, form });
            }
        }
    }
}

impl Default for Search {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search")
            .field("looked_at", &self.looked_at)
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) in {}", self.secret, self.form, self.place)
    }
}

/// Whether a program's own texts have this word.
fn has_word(program: &Path, word: &str) -> Result<bool> {
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let mut wanted = Patterns::new();
    let mut capital = word.to_owned();
    capital[..1].make_ascii_uppercase();
    for form in [word, &capital, &word.to_uppercase()] {
        wanted.add_short(WORDS, "alone", form.as_bytes());
    }
    Ok(!wanted.found_in(&bytes).is_empty())
}

/// Whether `word` stands somewhere with neither letter nor digit beside it.
fn stands_alone(bytes: &[u8], word: &[u8]) -> bool {
    let part_of_more = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    bytes.windows(word.len()).enumerate().any(|(at, window)| {
        window == word
            && !part_of_more(at.checked_sub(1).and_then(|at| bytes.get(at)))
            && !part_of_more(bytes.get(at + word.len()))
    })
}

/// The later of the times at which its content or its name was changed.
fn changed(found: &fs::Metadata) -> SystemTime {
    let status = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(found.ctime()).unwrap_or(0));
    found.modified().map_or(status, |modified| modified.max(status))
}

/// Words that follow each other and are taken for the phrase. Three random words of the list do not
/// meet by chance: 7776³ is 4.7 × 10¹¹.
const IN_A_ROW: usize = 3;
const SHORTEST_ALONE: usize = 5;
/// Fewer would be found in noise.
const SHORTEST_BYTES: usize = 8;
const PIECE: usize = 1 << 20;
/// More than any form of a secret, with wide separators, takes.
const OVERLAP: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "abacus drop-down yo-yo acrobat zoom felt-tip unplug rocky maroon zigzag";

    fn found(text: &[u8]) -> Vec<Finding> {
        let mut search = Search::new().for_words(CODE).for_bytes("K", &KEY);
        search.bytes("here", text);
        search.findings()
    }

    const KEY: [u8; 32] = *b"0123456789\xff\x00\x80ABCDEFGH\xfe\xfdabcdefghi";

    /// A planted secret is found in every spelling.
    #[test]
    fn planted_words_are_found_in_any_spelling() {
        for planted in [
            CODE.to_owned(),
            CODE.to_uppercase(),
            "xx acrobat zoom felt-tip yy".into(),
            "acrobatzoomfelttip".into(),
            "Acrobat  Zoom\tFelt Tip".into(),
            "4. acrobat\n5. zoom\n6. felt-tip\n".into(),
            r#"["acrobat","zoom","felt-tip"]"#.into(),
            r"acrobat\nzoom\r\nfelt-tip".into(),
            r"acrobat\u0020zoom\u00a0felt-tip".into(),
            "acrobat%20zoom%20felt%2dtip".into(),
            "acrobat\u{a0}zoom\u{2009}felt\u{2010}tip".into(),
            "a\0c\0r\0o\0b\0a\0t\0 \0z\0o\0o\0m\0 \0f\0e\0l\0t\0t\0i\0p\0".into(),
            "6163726f626174207a6f6f6d2066656c742d746970".into(),
            "YWNyb2JhdCB6b29tIGZlbHQtdGlw".into(),
            "eWFjcm9iYXQgem9vbSBmZWx0LXRpcA==".into(),
        ] {
            assert!(!found(planted.as_bytes()).is_empty(), "{planted}");
        }
    }

    #[test]
    fn a_planted_key_is_found_in_every_form() {
        use base64::{
            Engine as _,
            engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
        };
        let numbers = KEY.map(|byte| byte.to_string()).join(", ");
        let colons = KEY.map(|byte| format!("{byte:02x}")).join(":");
        for planted in [
            KEY.to_vec(),
            KEY[..16].to_vec(),
            KEY[16..].to_vec(),
            hex::encode(KEY).into_bytes(),
            hex::encode_upper(KEY).into_bytes(),
            STANDARD.encode(KEY).into_bytes(),
            STANDARD.encode([b"x".as_slice(), &KEY, b"yz"].concat()).into_bytes(),
            STANDARD.encode([b"xx".as_slice(), &KEY, b"yz"].concat()).into_bytes(),
            URL_SAFE_NO_PAD.encode([b"xx".as_slice(), &KEY, b"yz"].concat()).into_bytes(),
            format!("[{numbers}]").into_bytes(),
            numbers.replace(' ', "").into_bytes(),
            colons.to_uppercase().into_bytes(),
            colons.into_bytes(),
        ] {
            let planted = [b"before ".as_slice(), &planted, b" after"].concat();
            assert!(!found(&planted).is_empty(), "{}", String::from_utf8_lossy(&planted));
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        for innocent in [
            "abacus drop-down and then yo-yo acrobat, maroon or felt-tip",
            "the acrobat likes to zoom",
            "30313233343536",
            "MDEyMzQ1Njc4",
        ] {
            assert_eq!(found(innocent.as_bytes()), [], "{innocent}");
        }
    }

    #[test]
    fn a_file_is_searched_across_its_pieces_and_where_it_belongs_is_no_finding() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        let mut bytes = vec![b'.'; PIECE - 16];
        bytes.extend_from_slice(&KEY);
        fs::write(&here, &bytes)?;
        bytes.splice(PIECE - 30..PIECE - 30, b"acrobat zoom felt-tip unplug rocky".iter().copied());
        fs::write(&there, &bytes)?;
        let mut search = Search::new().for_words(CODE).for_bytes("K", &KEY).belongs("K", &here);
        search.files(folder.path())?;
        let places: BTreeSet<(String, String)> = search.findings().into_iter().map(|f| (f.place, f.secret)).collect();
        let there = there.display().to_string();
        assert_eq!(places, BTreeSet::from([(there.clone(), "K".into()), (there, WORDS.into())]));
        assert!(search.looked_at().belonging > 0);
        Ok(())
    }

    #[test]
    fn a_name_and_a_link_are_places_too() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("acrobat-zoom-felt-tip"), "")?;
        std::os::unix::fs::symlink("/tmp/unplug_rocky_maroon", folder.path().join("link"))?;
        let mut search = Search::new().for_words(CODE);
        search.files(folder.path())?;
        assert_eq!(search.findings().len(), 2, "{search:?}");
        Ok(())
    }

    #[test]
    fn single_words_are_found_where_there_is_no_prose() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (log, program) = (folder.path().join("log"), folder.path().join("program"));
        fs::write(&log, "a Maroon thing, rocky, zoom, yo-yo, unplugged")?;
        fs::write(&program, "error: Rocky road")?;
        let mut search = Search::new().for_words(CODE);
        // All but zoom: yo-yo has five characters with its hyphen.
        assert_eq!(search.words_alone_in(&log, &[&program])?, 9);
        let forms: Vec<String> = search.findings().into_iter().map(|finding| finding.form).collect();
        assert_eq!(forms, ["word 3 alone", "word 9 alone"]);
        Ok(())
    }
}
