//! Command lines: our own options in front, then PVE's.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use crate::Died;

/// The options before the command, and what follows them.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) root: Option<PathBuf>,
    pub(crate) client: Option<PathBuf>,
    pub(crate) pbs_restore: Option<PathBuf>,
    pub(crate) datastores: Option<PathBuf>,
    pub(crate) node: Option<String>,
    /// This process is the worker, and tells its end through this descriptor.
    pub(crate) worker: Option<u32>,
    pub(crate) help: bool,
    pub(crate) rest: Vec<String>,
}

impl Own {
    pub(crate) fn root(&self) -> Result<&PathBuf, Died> {
        self.root.as_ref().ok_or_else(|| "fixture: --fixture-root is missing".to_owned())
    }
}

/// Takes our own options from the front; the rest is the played program's.
pub(crate) fn own(words: Vec<OsString>) -> Result<Own, Died> {
    let mut own = Own::default();
    let mut words = words.into_iter().map(|word| {
        word.into_string().map_err(|word| format!("fixture: an argument is not UTF-8: {}", word.to_string_lossy()))
    });
    while let Some(word) = words.next() {
        let word = word?;
        let mut value = || words.next().unwrap_or_else(|| Err(format!("fixture: {word} needs a value")));
        match word.as_str() {
            "--help" => own.help = true,
            "--fixture-root" => own.root = Some(value()?.into()),
            "--client" => own.client = Some(value()?.into()),
            "--pbs-restore" => own.pbs_restore = Some(value()?.into()),
            "--datastores" => own.datastores = Some(value()?.into()),
            "--node" => own.node = Some(value()?),
            "--fixture-worker" => own.worker = value()?.parse().ok(),
            _ => {
                own.rest.push(word);
                break;
            }
        }
    }
    for word in words {
        own.rest.push(word?);
    }
    Ok(own)
}

/// What a played program was given.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) positionals: Vec<String>,
    pub(crate) options: BTreeMap<String, String>,
}

/// Whether an option is a flag or takes a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, or a truth value.
    Flag,
    /// A word.
    Word,
}

/// Reads words as PVE's programs do: `-name`, `--name`, `--name=value`, `--name value`; a flag may have
/// a truth value after it.
pub(crate) fn read(words: &[String], known: &[(&str, Takes)]) -> Result<Given, Died> {
    let mut given = Given::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|name| !name.is_empty())
        else {
            given.positionals.push(word.clone());
            continue;
        };
        let (name, attached) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let Some((_, takes)) = known.iter().find(|(known, _)| *known == name) else {
            return Err(format!("Unknown option: {name}\n400 unable to parse option"));
        };
        let value = match (attached, takes) {
            (Some(value), _) => value,
            (None, Takes::Flag) => {
                words.next_if(|next| truth(next).is_some()).map_or_else(|| "1".to_owned(), Clone::clone)
            }
            (None, Takes::Word) => words
                .next()
                .cloned()
                .ok_or_else(|| format!("Option {name} requires an argument\n400 unable to parse option"))?,
        };
        given.options.insert(name.to_owned(), value);
    }
    Ok(given)
}

impl Given {
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.options.get(name).and_then(|value| truth(value)).unwrap_or(false)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Exactly so many positionals.
    pub(crate) fn positionals<const N: usize>(&self) -> Result<[&str; N], Died> {
        if self.positionals.len() > N {
            return Err("400 too many arguments".to_owned());
        }
        let words: Vec<&str> = self.positionals.iter().map(String::as_str).collect();
        words.try_into().map_err(|_| "400 not enough arguments".to_owned())
    }
}

/// A guest's number.
pub(crate) fn vmid(text: &str) -> Result<u32, Died> {
    let fits = (3..=9).contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if !fits {
        let why = if text.bytes().all(|b| b.is_ascii_digit()) {
            "invalid format - value does not look like a valid VM ID".to_owned()
        } else {
            format!("type check ('integer') failed - got '{text}'")
        };
        return Err(format!("400 Parameter verification failed.\nvmid: {why}"));
    }
    text.parse().map_err(|_| "400 Parameter verification failed.".to_owned())
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "yes" | "on" | "true" => Some(true),
        "0" | "no" | "off" | "false" => Some(false),
        _ => None,
    }
}
