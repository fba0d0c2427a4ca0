//! The command line: which commands and options there are, how words become them, and the help.
//!
//! The client reads its options its own way (`--name value`, `--name=value`, options before or after
//! the arguments, a boolean with or without its value), and its complaints are known texts, so the
//! reading is done here by a table and not by a general crate. Nothing here touches a file.

mod commands;
mod help;

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _};

use self::{
    commands::COMMANDS,
    help::{describe, help, overview},
};
use crate::error::Error;

/// What an option's value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Text,
    Boolean,
    /// A whole number that is at least this.
    Number(u64),
    Choice(&'static [&'static str]),
}

#[derive(Debug)]
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    pub(crate) about: &'static str,
}

#[derive(Debug)]
pub(crate) struct Positional {
    pub(crate) name: &'static str,
    pub(crate) optional: bool,
    pub(crate) many: bool,
    pub(crate) about: &'static str,
}

/// Which command was meant; the table below gives each its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Backup,
    DatastoreCreate,
    KeyChangePassphrase,
    KeyCreate,
    KeyShow,
    List,
    Login,
    Logout,
    NamespaceCreate,
    NamespaceList,
    Prune,
    Restore,
    SnapshotFiles,
    SnapshotList,
    Status,
    Version,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) verb: Verb,
    pub(crate) words: &'static [&'static str],
    pub(crate) about: &'static str,
    pub(crate) positionals: &'static [Positional],
    pub(crate) options: &'static [&'static Opt],
}

/// A command line that has been read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) command: &'static Command,
    positionals: Vec<OsString>,
    options: Vec<(&'static str, OsString)>,
}

/// What the words after our own options ask for.
#[derive(Debug)]
pub(crate) enum Asked {
    Run(Parsed),
    Help(String),
}

impl Parsed {
    pub(crate) fn positional(&self, at: usize) -> Option<&OsString> {
        self.positionals.get(at)
    }

    pub(crate) fn positionals(&self) -> &[OsString] {
        &self.positionals
    }

    /// The option's value, if it was given. The last one counts.
    pub(crate) fn option(&self, name: &str) -> Option<&OsString> {
        self.options.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// The option's value as text; names, numbers and choices are checked to be UTF-8 when read.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.option(name) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                Some(text) => Ok(Some(text)),
                None => Err(self.refused(name, "value is not valid UTF-8")),
            },
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.option(name).and_then(|value| value.to_str()).and_then(|text| text.parse().ok())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.option(name).is_some_and(|value| value == "true")
    }

    /// An argument as text.
    pub(crate) fn argument(&self, at: usize) -> Result<&str, Error> {
        let name = self.command.positionals.get(at).map_or("", |positional| positional.name);
        match self.positional(at) {
            None => Err(self.refused(name, "parameter is missing and it is not optional.")),
            Some(value) => value.to_str().ok_or_else(|| self.refused(name, "value is not valid UTF-8")),
        }
    }

    /// The complaint about one of this command's parameters, with its usage below.
    pub(crate) fn refused(&self, name: &str, reason: &str) -> Error {
        refused(self.command, name, reason)
    }
}

/// Reads the client's own words (everything after `--root` and its like).
pub(crate) fn parse(words: &[OsString]) -> Result<Asked, Error> {
    if words.first().is_some_and(|word| word == "help" || word == "--help" || word == "-h") {
        return Ok(Asked::Help(help(&words[1..])));
    }
    let (command, rest) = match find(words) {
        Err(Error::Usage { usage, .. }) if words.iter().any(|word| word == "--help" || word == "-h") => {
            return Ok(Asked::Help(usage));
        }
        found => found?,
    };
    let mut parsed = Parsed { command, positionals: Vec::new(), options: Vec::new() };
    let mut at = 0;
    let mut only_arguments = false;
    while at < rest.len() {
        let word = &rest[at];
        at += 1;
        let text = word.as_bytes();
        if !only_arguments && text == b"--" {
            only_arguments = true;
        } else if !only_arguments && (text == b"--help" || text == b"-h") {
            return Ok(Asked::Help(describe(command)));
        } else if !only_arguments && text.starts_with(b"--") {
            at += option(&mut parsed, &text[2..], rest.get(at))?;
        } else {
            parsed.positionals.push(word.clone());
        }
    }
    let many = command.positionals.last().is_some_and(|positional| positional.many);
    if !many && parsed.positionals.len() > command.positionals.len() {
        return Err(Error::Usage {
            text: format!("got additional arguments: {:?}", &parsed.positionals[command.positionals.len()..]),
            usage: describe(command),
        });
    }
    let needed = command.positionals.iter().filter(|positional| !positional.optional).count();
    if let Some(missing) = command.positionals.get(parsed.positionals.len())
        && parsed.positionals.len() < needed
    {
        return Err(refused(command, missing.name, "parameter is missing and it is not optional."));
    }
    Ok(Asked::Run(parsed))
}

/// Takes one `--name[=value]`; tells how many further words it used.
fn option(parsed: &mut Parsed, text: &[u8], next: Option<&OsString>) -> Result<usize, Error> {
    let (name, attached) = match text.iter().position(|byte| *byte == b'=') {
        Some(cut) => (&text[..cut], Some(std::ffi::OsStr::from_bytes(&text[cut + 1..]).to_os_string())),
        None => (text, None),
    };
    let command = parsed.command;
    let Some(opt) = command.options.iter().find(|opt| opt.name.as_bytes() == name) else {
        let name = String::from_utf8_lossy(name);
        return Err(refused(command, &name, "schema does not allow additional properties."));
    };
    let (value, used) = match (opt.value, attached, next) {
        (Value::Boolean, None, next) => match next.and_then(|word| word.to_str()).and_then(boolean) {
            Some(value) => (value.into(), 1),
            None => ("true".into(), 0),
        },
        (_, Some(value), _) => (value, 0),
        (_, None, Some(value)) => (value.clone(), 1),
        (_, None, None) => return Err(refused(command, opt.name, "missing parameter value.")),
    };
    let value = check(command, opt, value)?;
    parsed.options.push((opt.name, value));
    Ok(used)
}

/// Holds a value against its kind.
fn check(command: &'static Command, opt: &Opt, value: OsString) -> Result<OsString, Error> {
    let text = value.to_string_lossy().into_owned();
    match opt.value {
        Value::Text => Ok(value),
        Value::Boolean => match boolean(&text) {
            Some(canonical) => Ok(canonical.into()),
            None => Err(refused(command, opt.name, "provided string is not a boolean")),
        },
        Value::Number(least) => match text.parse::<u64>() {
            Ok(number) if number >= least => Ok(value),
            Ok(number) => {
                let reason = format!("value must have a minimum value of {least} (got {number})");
                Err(refused(command, opt.name, &reason))
            }
            Err(_) => Err(refused(command, opt.name, "provided string is not a whole number")),
        },
        Value::Choice(choices) if choices.contains(&text.as_str()) => Ok(value),
        Value::Choice(_) => {
            Err(refused(command, opt.name, &format!("value '{text}' is not defined in the enumeration.")))
        }
    }
}

fn boolean(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some("true"),
        "0" | "off" | "no" | "false" => Some("false"),
        _ => None,
    }
}

fn refused(command: &'static Command, name: &str, reason: &str) -> Error {
    Error::Usage { text: format!("parameter verification failed - '{name}': {reason}"), usage: describe(command) }
}

/// Finds the command that the first words name, old aliases included.
fn find(words: &[OsString]) -> Result<(&'static Command, &[OsString]), Error> {
    let mut group: Vec<&str> = Vec::new();
    loop {
        let word = words.get(group.len()).and_then(|word| word.to_str()).filter(|word| !word.starts_with('-'));
        let Some(word) = word else {
            let mut names: Vec<_> = below(&group).filter_map(|command| command.words.get(group.len())).collect();
            names.dedup();
            let names: Vec<_> = names.into_iter().copied().collect();
            let text = format!("no command specified.\nPossible commands: {}", names.join(", "));
            return Err(Error::Usage { text, usage: overview(&group) });
        };
        let alias: Option<&[&str]> = match (group.is_empty(), word) {
            (true, "files") => Some(&["snapshot", "files"]),
            (true, "snapshots") => Some(&["snapshot", "list"]),
            _ => None,
        };
        if let Some(command) = alias.and_then(|alias| COMMANDS.iter().find(|command| command.words == alias)) {
            return Ok((command, &words[1..]));
        }
        let mut longer = group.clone();
        longer.push(word);
        if below(&longer).next().is_none() {
            return Err(Error::Usage { text: format!("no such command '{word}'"), usage: overview(&group) });
        }
        if let Some(command) = COMMANDS.iter().find(|command| command.words == longer) {
            return Ok((command, &words[longer.len()..]));
        }
        group = longer;
    }
}

fn below<'a>(group: &'a [&'a str]) -> impl Iterator<Item = &'static Command> + 'a {
    COMMANDS.iter().filter(move |command| command.words.starts_with(group))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn run(text: &str) -> Parsed {
        match parse(&words(text)).unwrap() {
            Asked::Run(parsed) => parsed,
            Asked::Help(text) => panic!("help instead: {text}"),
        }
    }

    #[test]
    fn options_stand_anywhere_and_in_both_spellings() {
        let parsed = run("restore --ns=a/b host/x root.pxar --keyfile K --overwrite out --ignore-acls no");
        assert_eq!(parsed.positionals(), ["host/x", "root.pxar", "out"]);
        assert_eq!(parsed.text("ns").unwrap(), Some("a/b"));
        assert_eq!(parsed.text("keyfile").unwrap(), Some("K"));
        assert!(parsed.flag("overwrite"));
        assert!(!parsed.flag("ignore-acls"));
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for (line, text) in [
            ("bogus", "no such command 'bogus'"),
            ("key info", "no such command 'info'"),
            ("status x", "got additional arguments: [\"x\"]"),
            (
                "restore host/x",
                "parameter verification failed - 'archive-name': parameter is missing and it is not optional.",
            ),
            ("status --foo 1", "parameter verification failed - 'foo': schema does not allow additional properties."),
            (
                "key create --kdf bogus",
                "parameter verification failed - 'kdf': value 'bogus' is not defined in the enumeration.",
            ),
        ] {
            assert_eq!(parse(&words(line)).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn every_option_has_one_kind_and_a_description() {
        for command in COMMANDS {
            let names: Vec<_> = command.options.iter().map(|opt| opt.name).collect();
            assert!(names.is_sorted(), "{:?}", command.words);
            assert!(command.options.iter().all(|opt| !opt.about.is_empty()));
        }
        assert!(COMMANDS.is_sorted_by_key(|command| command.words));
    }
}
