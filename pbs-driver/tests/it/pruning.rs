//! Whether a token may remove backups, from the words of recorded clients and of the server's sources; and that
//! nothing else here asks for a removal.

use std::{fs, path::Path};

use pbs_driver::{
    Client, Failure,
    failure::Thing,
    pruning::{self, Pruning},
};
use pbs_format::datastore::Group;

use crate::place::Place;

/// `transcripts/x.txt`, "prune dry-run json", as it is without a number that is to be kept.
const KEPT: &str = r#"[{"backup-id":"box1","backup-time":1795220572,"backup-type":"host","keep":true,"protected":false},{"backup-id":"box1","backup-time":1795220573,"backup-type":"host","keep":true,"new-in-5":[],"protected":true}]"#;
/// The same as it was recorded, with `--keep-last 1`.
const REMOVED: &str = r#"[{"backup-id":"box1","backup-time":1795220572,"backup-type":"host","keep":false,"protected":false},{"backup-id":"box1","backup-time":1795220573,"backup-type":"host","keep":true,"protected":false}]"#;

fn says(text: &str) -> String {
    format!("cat <<'END'\n{text}\nEND")
}

fn fails(text: &str) -> String {
    format!("cat >&2 <<'END'\nError: {text}\nEND\nexit 255")
}

fn ask(place: &Place, client: &Client) -> Pruning {
    let group: Group = "host/box1".parse().unwrap();
    pruning::ask(client, &place.access(), &group)
}

#[test]
fn whom_the_server_answers_may_and_whom_it_refuses_cannot() {
    let place = Place::new();
    for (body, may) in [
        (says(KEPT), true),
        (says("[]"), true),
        // Whose the group is is asked of those only who may.
        (fails("backup owner check failed (backup@pbs!box1 != backup@pbs!box2)"), true),
        (fails("permission check failed - missing Datastore.Modify|Datastore.Prune on /datastore/store"), false),
        (fails("permission check failed - missing Datastore.Modify|Datastore.Prune on /datastore/store/a/b"), false),
        // 2.0 and 2.1 say no more.
        (fails("permission check failed"), false),
    ] {
        match ask(&place, &place.client(&body)) {
            Pruning::May => assert!(may, "{body}"),
            Pruning::Cannot => assert!(!may, "{body}"),
            Pruning::Unknown { why } => panic!("{body}: {why:?}"),
        }
    }
    place.assert_clean();
}

#[test]
fn what_is_no_answer_stays_unknown_and_says_why() {
    let place = Place::new();
    for body in ["exit 0", "echo '{}'", "echo '[{}]'", "echo '[{\"keep\":\"true\"}]'", &says(REMOVED)] {
        let said = ask(&place, &place.client(body));
        assert!(matches!(said, Pruning::Unknown { .. }), "{body}: {said:?}");
    }
    for (text, failure) in [
        ("ENOENT: No such file or directory", Failure::NotFound { what: Thing::SnapshotOrNamespace }),
        (
            "permission check failed, or something like it",
            Failure::Unknown { text: "permission check failed, or something like it".to_owned() },
        ),
    ] {
        match ask(&place, &place.client(&fails(text))) {
            Pruning::Unknown { why } => assert_eq!(why.failure(), Some(&failure)),
            other => panic!("{text}: {other:?}"),
        }
    }
    // A secret that is wrong, a datastore that is closed and a server that is away tell nothing of the token.
    for text in [
        "authentication failed - invalid credentials",
        "permission check failed.",
        "datastore 'store' is in read-only maintenance mode: new disks",
        "error trying to connect: error connecting to https://127.0.0.1:1/ - tcp connect error: Connection refused (os error 111)",
        "no such command 'prune'",
        "parameter verification failed - 'dry-run': schema does not allow additional properties.",
    ] {
        let said = ask(&place, &place.client(&fails(text)));
        assert!(matches!(said, Pruning::Unknown { .. }), "{text}: {said:?}");
    }
    place.assert_clean();
}

#[test]
fn the_client_is_asked_in_the_one_form_that_removes_nothing() {
    let place = Place::new();
    let body = format!("printf '%s\\n' \"$@\" > \"$scratch/asked\"\n{}", says(KEPT));
    assert!(matches!(ask(&place, &place.client(&body)), Pruning::May));
    assert_eq!(place.left("asked").unwrap(), "prune\nhost/box1\n--dry-run\ntrue\n--output-format\njson\n");
    place.assert_clean();
}

/// The other way to remove a backup is `snapshot forget`; garbage collection frees what it removed.
#[test]
fn no_other_command_of_this_crate_removes_a_backup() {
    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let words = ["\"prune", "forget\"", "\"garbage-collect", "\"--keep-", "change-owner\""];
            let lines = text.lines().filter(|line| words.iter().any(|word| line.contains(word)));
            found.extend(lines.map(|line| format!("{}: {}", path.file_name().unwrap().display(), line.trim())));
        }
    }
    let mut found = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.retain(|line| !line.contains("\"prune-backups\""));
    found.sort();
    let expected = [
        "pruning.rs: const COMMAND: &str = \"prune\";",
        "pruning.rs: let expected = [&[\"prune\", \"ct/101\", \"--dry-run\", \"true\"], in_namespace, &[\"--output-format\", \"json\"]];",
    ];
    assert_eq!(found, expected);
}
