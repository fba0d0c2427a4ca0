//! `docs/reliability.md` and the tests that are named after its stories agree, both ways. The lines
//! that name tests are written by `cargo xtask golden`; the stories and the reasons by people.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    graph::root,
    tree::{Tracked, tracked},
};

const PAGE: &str = "docs/reliability.md";
const LAST: u8 = 73;

/// Test names, by story and file.
type Named = BTreeMap<u8, BTreeMap<String, BTreeSet<String>>>;

#[test]
fn golden_stories_and_their_tests() -> Result<()> {
    let page = fs::read_to_string(root().join(PAGE)).context(PAGE)?;
    let rewritten = rewrite(&page, &named(&tracked()?))?;
    if env::var_os("TENWORDS_GOLDEN").is_some_and(|value| value == "write") {
        return fs::write(root().join(PAGE), rewritten).context(PAGE);
    }
    let differs = page.lines().zip(rewritten.lines()).find(|(old, new)| old != new);
    ensure!(page == rewritten, "{PAGE} names other tests than the tree has (`cargo xtask golden`): {differs:?}");
    Ok(())
}

#[test]
fn each_wall_names_tests_that_are_there() -> Result<()> {
    let page = fs::read_to_string(root().join(PAGE)).context(PAGE)?;
    let files = tracked()?;
    let lines = walls(&page);
    for number in 1..=12 {
        let wall = lines.iter().filter(|(wall, ..)| *wall == number).count();
        assert!(wall > 0, "wall {number} names no test");
    }
    for (number, file, test) in lines {
        assert!(is_there(&files, &file, &test), "wall {number}: {file} has no test {test}");
    }
    assert!(!is_there(&files, "xtask/tests/it/stories.rs", "a_test_that_nobody_wrote"));
    Ok(())
}

#[test]
fn a_story_without_a_test_needs_a_reason_and_none_may_be_left_out() -> Result<()> {
    let story = |number: u8| format!("**S{number:02}** it breaks → it is mended.\n");
    let whole = |line: &str| (1..=LAST).map(|n| story(n) + line + "\n").collect::<String>();
    let tests =
        Named::from([(7, BTreeMap::from([("hub/tests/it/x.rs".to_owned(), BTreeSet::from(["s07_x".to_owned()]))]))]);
    assert!(rewrite(&whole(""), &tests).is_err(), "no test, no reason");
    assert!(rewrite(&whole("- Not yet: later."), &Named::new()).is_ok());
    assert!(rewrite(&whole("- Not yet: later."), &tests).is_err(), "a test and `not yet`");
    let without = whole("- Not yet: later.").replace(&story(9), "");
    assert!(rewrite(&without, &Named::new()).is_err(), "story 9 is gone");
    let stale = whole("- Not yet: later.")
        .replace(&format!("{}- Not yet: later.\n", story(7)), &format!("{}- `a.rs`: `s07_gone`\n", story(7)));
    let mended = rewrite(&stale, &tests)?;
    assert!(mended.contains("- `hub/tests/it/x.rs`: `s07_x`\n") && !mended.contains("s07_gone"), "{mended}");
    Ok(())
}

#[test]
fn a_name_may_hold_several_stories() {
    let text = "    fn s05_s63_nothing_reaches_a_child() {}\n    fn s6_x() {}\n    fn also_s07_x() {}\n";
    let file = Tracked { path: "a/tests/it/b.rs".into(), text: Some(text.into()) };
    assert_eq!(named(&[file]).keys().copied().collect::<Vec<u8>>(), [5, 63]);
}

/// Wall, file and test of the page's first part.
fn walls(page: &str) -> Vec<(u8, String, String)> {
    let mut found = Vec::new();
    let mut wall = 0;
    for line in page.lines().take_while(|line| !line.starts_with("**S")) {
        if let Some((number, _)) = line.strip_prefix("**").and_then(|rest| rest.split_once(". ")) {
            wall = number.parse().unwrap_or(wall);
        }
        let mut quoted = line.strip_prefix("- ").into_iter().flat_map(|rest| rest.split('`').skip(1).step_by(2));
        if let Some(file) = quoted.next() {
            found.extend(quoted.map(|test| (wall, file.to_owned(), test.to_owned())));
        }
    }
    found
}

fn is_there(files: &[Tracked], file: &str, test: &str) -> bool {
    let text = files.iter().find(|tracked| tracked.path == file).and_then(|tracked| tracked.text.as_deref());
    text.is_some_and(|text| text.contains(&format!("fn {test}(")))
}

/// The page with the lines that name tests as the tree has them.
fn rewrite(page: &str, named: &Named) -> Result<String> {
    let mut out = String::new();
    let mut blocks: Vec<(u8, Vec<&str>)> = Vec::new();
    let mut head = Vec::new();
    for line in page.lines() {
        let number = line.strip_prefix("**S").and_then(|rest| rest.get(..2)).and_then(|digits| digits.parse().ok());
        match (number, blocks.last_mut()) {
            (Some(number), _) => blocks.push((number, vec![line])),
            (None, Some((_, block))) => block.push(line),
            (None, None) => head.push(line),
        }
    }
    let numbers: Vec<u8> = blocks.iter().map(|(number, _)| *number).collect();
    ensure!(numbers == (1..=LAST).collect::<Vec<u8>>(), "the stories are S01 to S{LAST}, each once: {numbers:?}");
    let (mut held, mut partly, mut open) = (0, 0, 0);
    for (number, block) in &blocks {
        let not_yet = block.iter().any(|line| line.starts_with("- Not yet: "));
        let part = block.iter().any(|line| line.starts_with("- Part of it: "));
        match (named.contains_key(number), not_yet, part) {
            (true, false, false) => held += 1,
            (true, false, true) => partly += 1,
            (false, true, false) => open += 1,
            (has, ..) => anyhow::bail!(
                "S{number:02}: {}",
                if has { "a test, and `Not yet`" } else { "no test, and no `Not yet:`" }
            ),
        }
        ensure!(block[0].contains(" → "), "S{number:02} does not say how it ends");
    }
    for line in head {
        if line.starts_with("Of ") && line.contains(" stories, ") {
            out.push_str(&format!("Of {LAST} stories, {held} are held by tests, {partly} in part, {open} not yet.\n"));
        } else {
            out.push_str(&format!("{line}\n"));
        }
    }
    for (number, block) in blocks {
        out.push_str(&format!("{}\n", block[0]));
        for (file, tests) in named.get(&number).into_iter().flatten() {
            let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
            out.push_str(&format!("- `{file}`: {}\n", tests.join(", ")));
        }
        for line in block[1..].iter().filter(|line| !line.starts_with("- `")) {
            out.push_str(&format!("{line}\n"));
        }
    }
    Ok(out)
}

/// Functions whose name begins with one or more story numbers.
fn named(files: &[Tracked]) -> Named {
    let mut named = Named::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        for line in file.text.iter().flat_map(|text| text.lines()) {
            let Some((_, after)) =
                line.split_once("fn ").filter(|(before, _)| before.trim_end().is_empty() || before.trim() == "async")
            else {
                continue;
            };
            let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let mut rest = name.as_str();
            while let Some(number) = story(rest) {
                rest = &rest[4..];
                named.entry(number).or_default().entry(file.path.clone()).or_default().insert(name.clone());
            }
        }
    }
    named
}

/// The story that a name begins with: `s`, two digits, an underscore.
fn story(name: &str) -> Option<u8> {
    let digits = name.strip_prefix('s')?.get(..3)?.strip_suffix('_')?;
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}
