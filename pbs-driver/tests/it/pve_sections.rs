//! The text of `storage.cfg`, read as PVE's own parser was seen to read it, and kept to the byte.
//!
//! The readings below are those of the real `SectionConfig.pm` for the same texts (36,000 more were
//! compared by hand: `docs/findings/pmxcfs.md`).

use pbs_driver::pve::{PveError, sections::Sections};
use proptest::prelude::*;

/// Type, id, properties; `-` for a word alone.
fn read(text: &[u8]) -> Vec<(String, String, Vec<String>)> {
    let sections = Sections::parse(text);
    assert_eq!(sections.to_bytes(), text, "{}", String::from_utf8_lossy(text));
    sections
        .iter()
        .map(|section| {
            let shown = section.properties().map(|p| format!("{}={}", p.key, p.value.as_deref().unwrap_or("-")));
            (section.kind().into_owned(), section.id().into_owned(), shown.collect())
        })
        .collect()
}

fn assert_reads(text: &str, expected: &[(&str, &str, &[&str])]) {
    let found = read(text.as_bytes());
    let expected: Vec<_> = expected
        .iter()
        .map(|(kind, id, properties)| {
            (kind.to_string(), id.to_string(), properties.iter().map(ToString::to_string).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(found, expected, "{text:?}");
}

#[test]
fn an_ordinary_file_is_read_in_order() {
    assert_reads(
        "# by hand\n\ndir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl\n\nmadeup: x\n    deep  a b  c \n\tshared\n\n",
        &[("dir", "local", &["path=/var/lib/vz", "content=iso,vztmpl"]), ("madeup", "x", &["deep=a b  c", "shared=-"])],
    );
}

#[test]
fn a_stanza_ends_where_pve_ends_it() {
    // Really empty, and nothing else: blanks do not end it, and a header inside is no header.
    assert_reads("dir: a\n\tpath /x\n \npbs: b\n\tserver s\n", &[("dir", "a", &["path=/x", "server=s"])]);
    assert_reads("dir: a\n\tpath /x\npbs: b\n\tserver s\n", &[("dir", "a", &["path=/x", "server=s"])]);
    // A zero is nothing, to Perl.
    assert_reads("dir: a\n\tpath /x\n0\n\tserver s\n", &[("dir", "a", &["path=/x"])]);
    assert_reads("dir: a\n\tpath /x\n00\n\tserver s\n", &[("dir", "a", &["path=/x", "server=s"])]);
    // With CRLF no line is empty.
    assert_reads("dir: a\r\n\tpath /x\r\n\r\npbs: b\r\n\tserver s\r\n", &[("dir", "a", &["path=/x", "server=s"])]);
    // A comment is not there at all.
    assert_reads("dir: a\n# one\n\t#two 2\n\tpath /x\n", &[("dir", "a", &["path=/x"])]);
    // Indented lines outside belong to nobody.
    assert_reads("\tpath /x\n\ndir: a\n", &[("dir", "a", &[])]);
}

#[test]
fn a_header_is_what_pve_takes_for_one() {
    for (line, kind, id) in [
        ("pbs: x", "pbs", "x"),
        ("pbs:x", "pbs", "x"),
        ("pbs:\t x \t", "pbs", "x"),
        ("PBS: x", "PBS", "x"),
        ("a:b: x", "a:b", "x"),
        ("a:b:c", "a:b", "c"),
        ("a: b:c", "a", "b:c"),
        ("a:b:", "a", "b:"),
    ] {
        assert_reads(line, &[(kind, id, &[])]);
    }
    for line in ["pbs", "pbs:", "pbs: ", ": x", " pbs: x", "pbs: x y", "a:b c", "#pbs: x", "pbs : x"] {
        assert_reads(line, &[]);
    }
}

#[test]
fn odd_bytes_stay_as_they_are() {
    for text in [
        &b""[..],
        b"\n\n\n",
        b"\xef\xbb\xbfpbs: x\n",
        b"pbs: x\n\tcomment \xff\xfe caf\xe9\n",
        b"pbs: x\n\tserver s\0t\n\x0b\x0cport 1\n",
        b"pbs: x\n\tserver s",
        b"\r\n\r",
    ] {
        read(text);
    }
    assert_eq!(read(b"pbs: x\n\tnote caf\xe9\n")[0].2, ["note=caf\u{fffd}"]);
    assert_eq!(read(b"pbs: x\n\x0b\x0cport 1\n")[0].2, ["port=1"], "what Perl calls blank");
    assert_eq!(read("pbs: x\n\u{a0}port 1\n".as_bytes())[0].2, Vec::<String>::new(), "and what it does not");
}

#[test]
fn what_counts_is_the_last_stanza_and_the_first_value() {
    let sections = Sections::parse(b"dir: a\n\tpath /1\n\npbs: a\n\tserver s\n\tserver t\n\tdisable\n\n");
    let found = sections.find("a").unwrap();
    assert_eq!(found.kind(), "pbs");
    assert_eq!(found.get("server").unwrap().unwrap(), "s");
    assert_eq!(found.get("disable"), Some(None));
    assert_eq!(found.get("path"), None);
    assert!(sections.find("b").is_none());
}

#[test]
fn a_new_stanza_stands_apart_whatever_came_before() {
    for (before, between) in [
        ("", ""),
        ("dir: a\n\tpath /x\n\n", ""),
        ("dir: a\n\tpath /x\n", "\n"),
        ("dir: a\n\tpath /x", "\n\n"),
        ("dir: a\n\tpath /x\n \n", "\n"),
        ("dir: a\r\n\tpath /x\r\n\r\n", "\n"),
        ("# only a comment", "\n\n"),
    ] {
        let mut sections = Sections::parse(before.as_bytes());
        sections.append("pbs", "new", &[("disable", ""), ("server", "s p")]).unwrap();
        let text = format!("{before}{between}pbs: new\n\tdisable\n\tserver s p\n\n");
        assert_eq!(String::from_utf8(sections.to_bytes()).unwrap(), text);
    }
}

#[test]
fn a_value_is_changed_in_its_place() {
    for (before, key, value, after) in [
        ("pbs: a\n\tserver s\n\n", "port", "1", "pbs: a\n\tserver s\n\tport 1\n\n"),
        ("pbs: a\n \t server \t s \r\n\tport 1\n", "server", "t", "pbs: a\n \t server \t t \r\n\tport 1\n"),
        ("pbs: a\n\tdisable\n# c\n\n# d\n", "disable", "0", "pbs: a\n\tdisable 0\n# c\n\n# d\n"),
        ("pbs: a", "port", "1", "pbs: a\n\tport 1\n"),
        ("pbs: a\n\tserver s\n#c", "port", "1", "pbs: a\n\tserver s\n\tport 1\n#c"),
        ("pbs: a\n\tx 1\n\tx 2\n", "x", "3", "pbs: a\n\tx 3\n\tx 2\n"),
        (
            "dir: a\n\tx 1\n\npbs: a\n\tx 1\n\ndir: b\n\tx 1\n",
            "x",
            "2",
            "dir: a\n\tx 1\n\npbs: a\n\tx 2\n\ndir: b\n\tx 1\n",
        ),
    ] {
        let mut sections = Sections::parse(before.as_bytes());
        sections.set("a", key, value).unwrap();
        assert_eq!(String::from_utf8(sections.to_bytes()).unwrap(), after, "{before:?}");
    }
}

#[test]
fn what_would_read_as_something_else_is_refused_and_changes_nothing() {
    let text = b"pbs: a\n\tserver s\n\n";
    let mut sections = Sections::parse(text);
    let refused =
        |result: Result<(), PveError>| assert!(matches!(result, Err(PveError::Sections { .. })), "{result:?}");
    for (kind, id, key, value) in [
        ("pbs", "b", "server", "s\n\npbs: c"),
        ("pbs", "b", "server", " s"),
        ("pbs", "b", "server", "s\t"),
        ("pbs", "b", "ser ver", "s"),
        ("pbs", "b", "#server", "s"),
        ("pbs", "b", "", "s"),
        ("pbs", "b\n", "server", "s"),
        ("pbs", "b c", "server", "s"),
        ("pbs", "", "server", "s"),
        ("", "b", "server", "s"),
        ("#pbs", "b", "server", "s"),
        (" pbs", "b", "server", "s"),
    ] {
        refused(sections.append(kind, id, &[(key, value)]));
    }
    for (key, value) in [
        ("server", "s\n\npbs: c"),
        ("server", " s"),
        ("server", "s\t"),
        ("server", "s\r"),
        ("server", ""),
        ("port", ""),
        ("ser ver", "s"),
        ("#server", "s"),
        ("", "s"),
        ("k\n\nx: y", "s"),
    ] {
        refused(sections.set("a", key, value));
    }
    refused(sections.set("nobody", "port", "1"));
    assert_eq!(sections.to_bytes(), text);
}

/// Lines as they occur, and as nobody writes them.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "(pbs|dir|PBS|x:y)(: | :|:|:\t)(a|b|local|a b|-)[ \r]?",
        "[ \t\u{b}\r]{1,2}(server|port|disable|#c|k)([ \t]{1,2}[a-z0-9é ]{0,6})?[ \r]?",
        "|0| |\t|\r|#x|  # y",
        "[ -~]{0,12}",
    ];
    (proptest::collection::vec(line, 0..14), any::<bool>())
        .prop_map(|(lines, ended)| (lines.join("\n") + if ended { "\n" } else { "" }).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_byte_is_lost(text in prop_oneof![lines(), proptest::collection::vec(any::<u8>(), 0..80)]) {
        prop_assert_eq!(Sections::parse(&text).to_bytes(), text);
    }

    #[test]
    fn adding_a_stanza_leaves_all_others(text in lines()) {
        let mut sections = Sections::parse(&text);
        sections.append("pbs", "added", &[("server", "s"), ("disable", "")]).unwrap();
        let after = sections.to_bytes();
        prop_assert!(after.starts_with(&text));
        let (mut found, before) = (read(&after), read(&text));
        let added = found.pop().unwrap();
        prop_assert_eq!(found, before);
        prop_assert_eq!((added.0.as_str(), added.1.as_str(), added.2.len()), ("pbs", "added", 2));
    }

    /// Also where the one before was not ended, and the removal of another would make two of one.
    #[test]
    fn a_stanza_that_was_added_goes_again_and_all_others_stay(text in lines()) {
        let mut sections = Sections::parse(&text);
        prop_assert!(!sections.clone().remove("added").unwrap());
        sections.append("pbs", "added", &[("server", "s")]).unwrap();
        prop_assert!(sections.remove("added").unwrap());
        let after = sections.to_bytes();
        prop_assert!(after.starts_with(&text) && after[text.len()..].iter().all(|byte| *byte == b'\n'));
        let ids: Vec<String> = sections.iter().map(|section| section.id().into_owned()).collect();
        for id in ids {
            let (before, last) = (read(&sections.to_bytes()), sections.clone());
            match sections.remove(&id) {
                Ok(_) => {
                    let place = before.iter().rposition(|stanza| stanza.1 == id).unwrap();
                    let mut expected = before;
                    expected.remove(place);
                    prop_assert_eq!(read(&sections.to_bytes()), expected);
                }
                Err(_) => prop_assert_eq!(&sections, &last, "a refusal changes nothing"),
            }
        }
    }

    #[test]
    fn changing_a_value_leaves_all_other_lines(text in lines(), key in "server|port|new", value in "[a-z0-9]{1,5}") {
        let mut sections = Sections::parse(&text);
        let ids: Vec<String> = sections.iter().map(|section| section.id().into_owned()).collect();
        for id in ids {
            sections.set(&id, &key, &value).unwrap();
            let once = sections.clone();
            let found = sections.find(&id).unwrap().get(&key).flatten().map(|value| value.into_owned());
            prop_assert_eq!(found.as_deref(), Some(value.as_str()));
            sections.set(&id, &key, &value).unwrap();
            prop_assert_eq!(&sections, &once, "a second time changes nothing");
        }
        let is_other = |line: &&[u8]| !line.is_empty() && !String::from_utf8_lossy(line).contains(&key);
        let others = |bytes: &[u8]| bytes.split(|&b| b == b'\n').filter(is_other).map(<[u8]>::to_vec).collect::<Vec<_>>();
        prop_assert_eq!(others(&sections.to_bytes()), others(&text));
    }
}
