//! S73: nothing asks for the words, because there is nothing that they could be put into. What people
//! call by these names and is something else stands here with its reason.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tenwords_spikes::{process::Run, programs::Programs};

/// What a place for the words would be called.
const NAMES: [&str; 14] = [
    "word",
    "words",
    "wordlist",
    "code",
    "codes",
    "phrase",
    "passphrase",
    "passcode",
    "password",
    "secret",
    "secrets",
    "seed",
    "mnemonic",
    "woerter",
];

/// Fields that travel.
const FIELDS: [(&str, &str); 5] = [
    ("code", "of a problem: which one it is, for example `not-found`"),
    ("code_id", "a code's public id, drawn apart from its words"),
    ("code_number", "which code it is: 1, 2, 3"),
    ("words", "of a box at the hub: when, and under which code, a drill of the words was"),
    ("words_key", "the public half of the key that proves the words"),
];

/// Options and arguments.
const OPTIONS: [(&str, &str); 13] = [
    ("tenwords-agent lost-words", "a command without arguments: what to do when they are lost"),
    ("tenwords-agent escrow create --keep-code", "a switch: the words are then asked for at the terminal"),
    ("tenwords-agent escrow create --new-code", "a switch"),
    ("tenwords-agent drill --words", "a switch: which drill"),
    ("tenwords-agent drill --code-fd", "as with recover"),
    ("tenwords-agent recover --code-fd", "takes a descriptor's number; a file on a disk is refused"),
    ("tenwords-agent key put-back --words", "a switch: the words are then asked for at the terminal"),
    ("tenwords-agent key put-back --code-fd", "as with recover"),
    ("tenwords order show FILE|CODE", "an order's public code: sixteen characters, and nothing else is taken"),
    ("tenwords order sign FILE|CODE", "the same"),
    ("tenwords order sign --code", "the same, as the box's screen shows it"),
    ("tenwords order sign CODE", "the same"),
    ("tenwords order send FILE|CODE", "the same"),
];

/// Names in the hub's sources, by file.
const IN_HUB: [(&str, &str, &str); 6] = [
    ("home.rs", "secret", "the hub's own, under which it hashes tickets and tokens; no request has it"),
    ("refusal.rs", "code", "which problem a reply tells"),
    ("store/drills.rs", "words", "the drill of the words, as a box's summary tells it"),
    ("store/error.rs", "code", "the database's own number of what went wrong"),
    ("store/reports.rs", "code", "what a node raises an alarm about"),
    ("store/standings.rs", "codes", "for which reasons a box stood as it did"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether something of this name would be a place for the words.
fn is_place(name: &str) -> bool {
    let (mut parts, mut before) = (String::new(), ' ');
    for c in name.chars() {
        // `recoveryCode` is two.
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            parts.push(' ');
        }
        parts.push(c.to_ascii_lowercase());
        before = c;
    }
    parts.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| NAMES.contains(&part))
}

// What travels.

/// The names of all fields of a JSON text.
fn fields(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                into.insert(name.clone());
                fields(value, into);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, into)),
        _ => {}
    }
}

/// All fields of a file that is one JSON text or has one in some of its lines.
fn fields_of(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    match serde_json::from_str(text) {
        Ok(value) => fields(&value, &mut all),
        Err(_) => {
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|value| fields(&value, &mut all));
        }
    }
    all
}

fn places_among(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().filter(|name| is_place(name)).collect()
}

#[test]
fn s73_nothing_that_travels_has_a_field_for_the_words() -> Result<()> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(root().join("protocol/tests/golden"))? {
        all.extend(fields_of(&String::from_utf8_lossy(&fs::read(entry?.path())?)));
    }
    ensure!(all.len() > 60, "only {} fields were seen", all.len());
    // An exception that nothing has any more goes.
    let known: BTreeSet<String> = FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let found = places_among(all);
    ensure!(found == known, "fields that could carry the words: {found:?}, and known are {known:?}");
    Ok(())
}

// What is typed.

/// The commands, and the options and arguments, that a help text of clap's has.
fn parts_of(help: &str) -> (Vec<String>, Vec<String>) {
    let (mut commands, mut takes) = (Vec::new(), Vec::new());
    let mut heading = "";
    for line in help.lines() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if indent == 0 {
            heading = text;
        } else if heading == "Commands:" && indent == 2 {
            commands.extend(text.split(' ').next().filter(|name| *name != "help").map(str::to_owned));
        } else if text.starts_with('-') {
            let names = text.split("  ").next().unwrap_or_default();
            takes.extend(
                names.split([' ', ',', '=', '<', '>', '[', ']']).filter(|it| !it.is_empty()).map(str::to_owned),
            );
        } else if heading == "Arguments:" && text.starts_with(['<', '[']) {
            takes.extend(text.split(['<', '>', '[', ']']).nth(1).map(str::to_owned));
        }
    }
    (commands, takes)
}

/// All that could carry the words, below this command, as one would type it.
fn places_below(program: &Path, path: &[String], seen: &mut usize) -> Result<Vec<String>> {
    let folder = program.parent().context("a program lies in a folder")?;
    let environment = [("COLUMNS".to_owned(), "100".to_owned())];
    let ended = Run::new(program, folder).args(path).args(["--help"]).envs(&environment);
    let help = String::from_utf8(ended.to_end(Duration::from_secs(60))?.with_code(0)?.stdout)?;
    let (commands, takes) = parts_of(&help);
    *seen += 1;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let typed = [&[name.into_owned()], path].concat().join(" ");
    let is_asked = |what: &String| is_place(what);
    let mut found: Vec<String> =
        takes.iter().filter(|what| is_asked(what)).map(|what| format!("{typed} {what}")).collect();
    found.extend(commands.iter().filter(|what| is_asked(what)).map(|what| format!("{typed} {what}")));
    for command in commands {
        found.extend(places_below(program, &[path, &[command]].concat(), seen)?);
    }
    Ok(found)
}

#[test]
fn s73_no_command_has_an_option_or_argument_for_the_words() -> Result<()> {
    let programs = Programs::find()?;
    let mut found = Vec::new();
    for (program, least) in [(&programs.agent, 8), (&programs.hub, 3), (&programs.operator, 7)] {
        let mut seen = 0;
        found.extend(places_below(program, &[], &mut seen)?);
        ensure!(seen >= least, "{}: only {seen} commands were seen", program.display());
    }
    let known: Vec<&str> = OPTIONS.iter().map(|(option, _)| *option).collect();
    ensure!(found == known, "what could carry the words: {found:?}, and known is {known:?}");
    Ok(())
}

// What the hub asks for.

/// Names in a source: fields with a type, and texts that are one name, as a form's or a query's are.
fn names_in(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    for line in source.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if let Some((before, after)) = line.split_once(':')
            && !after.starts_with(':')
        {
            let name = before.rsplit(|c: char| !is_name(c)).next().unwrap_or_default();
            // A constant is no field.
            if name.contains(|c: char| c.is_ascii_lowercase()) {
                names.insert(name.to_owned());
            }
        }
        // Between quotation marks; in a route's path each part.
        for text in line.split('"').skip(1).step_by(2) {
            let parts = text.split(['/', '{', '}', '*', '?', '&', '=']);
            names.extend(parts.filter(|part| !part.is_empty() && part.chars().all(is_name)).map(str::to_owned));
        }
    }
    names
}

/// Every source below a folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(sources(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "html") {
            all.push(path);
        }
    }
    Ok(all)
}

#[test]
fn s73_no_route_and_no_form_of_the_hub_has_a_field_for_the_words() -> Result<()> {
    let folder = root().join("hub/src");
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for path in sources(&folder)? {
        let name = path.strip_prefix(&folder)?.display().to_string();
        let names = names_in(&fs::read_to_string(&path)?);
        seen.extend(names.iter().cloned());
        found.extend(places_among(names).into_iter().map(|place| (name.clone(), place)));
    }
    // The routes' own paths were read.
    for part in ["v1", "recovery", "claim", "box_id"] {
        ensure!(seen.contains(part), "{part} was not seen");
    }
    let known: BTreeSet<(String, String)> =
        IN_HUB.iter().map(|(file, name, _)| ((*file).to_owned(), (*name).to_owned())).collect();
    ensure!(found == known, "what could carry the words: {found:?}, and known is {known:?}");
    Ok(())
}

// That all this finds what it looks for.

#[test]
fn s73_a_planted_field_option_or_form_is_found() {
    for name in ["words", "tenWords", "ten_words", "recovery-code", "recoveryCode", "Passphrase", "the_secret", "WORDS"]
    {
        assert!(is_place(name), "{name}");
    }
    for name in ["swords", "decoded", "codec", "box_name", "ticket", "token-file", "passwords_not"] {
        assert!(!is_place(name), "{name}");
    }
    let planted = "{\"v\":1}\nno JSON\n{\"a\":[{\"b\":{\"words\":\"x\"}}]}\n";
    assert!(places_among(fields_of(planted)).contains("words"));
    assert!(places_among(fields_of("{\"a\":[{\"recovery_code\":1}]}")).contains("recovery_code"));

    let help = "Makes it\n\nUsage: x [OPTIONS] <WORDS>\n\nCommands:\n  now   Now\n  help  Print this\n\nArguments:\n  \
                <WORDS>  All ten\n\nOptions:\n  -p, --passphrase <P>  It\n      --box <CODE>\n          The box; --words is \
                not it\n  -h, --help  Print help\n";
    let (commands, takes) = parts_of(help);
    assert_eq!(commands, ["now"]);
    let takes: BTreeSet<String> = places_among(takes);
    assert_eq!(takes.iter().map(String::as_str).collect::<Vec<_>>(), ["--passphrase", "CODE", "WORDS"]);

    for (source, place) in [
        ("struct Ask {\n    words: String,\n}", "words"),
        ("struct Ask { pub(crate) recovery_code: Option<String> }", "recovery_code"),
        ("html! { input type=\"text\" name=\"words\" {} }", "words"),
        ("    .add(\"POST\", \"/v1/boxes/{box_id}/words\", post(it))", "words"),
        ("    let code = query.get(\"passphrase\");", "passphrase"),
        ("    r#code: u32,", "code"),
    ] {
        assert!(places_among(names_in(source)).contains(place), "{source}");
    }
    for source in ["// words: never", "use x::words::Nonce;", "let said = \"the ten words open it\";"] {
        assert!(places_among(names_in(source)).is_empty(), "{source}");
    }
}
