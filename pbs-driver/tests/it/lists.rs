//! Lists, probe and version, from the words that the real client printed.

use pbs_driver::{
    DriverError, Failure,
    failure::{Refusal, Silence, Thing},
    snapshot::{self, ClaimedMode, Verification},
    status, version,
};

use tenwords_protocol::fingerprint::Fingerprint;

use crate::place::Place;

/// `transcripts/ab.txt`, "snapshot list json", the first of three; with what 4.x might add.
const LIST: &str = r#"[{"backup-id":"box1","backup-time":1795220574,"backup-type":"host","comment":"hello note","files":[{"crypt-mode":"encrypt","filename":"data.pxar.didx","size":14001540},{"crypt-mode":"sign-only","filename":"index.json.blob","size":609},{"filename":"client.log.blob"},{"crypt-mode":"quantum","filename":"x.img.fidx","size":1}],"fingerprint":"1a:8d:27:c9:81:68:f6:3b:11:3c:66:d8:b2:63:3a:08:46:19:02:f5:a4:03:bc:c8:aa:87:db:f7:c7:bb:39:fb","new-in-5":{"a":[1]},"owner":"backup@pbs!box1","protected":false,"size":34002392,"verification":{"state":"failed","upid":"UPID:x"}},{"backup-id":"plain1","backup-time":1795220762,"backup-type":"host","files":[],"owner":"backup@pbs!box1","protected":true}]"#;

fn says(text: &str) -> String {
    format!("cat <<'END'\n{text}\nEND")
}

fn fails(text: &str) -> String {
    format!("cat >&2 <<'END'\n{text}\nEND\nexit 255")
}

#[test]
fn a_list_is_read_and_what_is_new_in_it_passed_over() {
    let place = Place::new();
    let list = snapshot::list(&place.client(&says(LIST)), &place.access(), None).unwrap();
    assert_eq!(list.len(), 2);
    let first = &list[0];
    assert_eq!(first.snapshot.to_string(), "host/box1/2026-11-21T00:22:54Z");
    assert_eq!(first.fingerprint.unwrap().short(), "1a:8d:27:c9:81:68:f6:3b");
    assert_eq!(first.verification, Some(Verification::Failed));
    assert_eq!((first.comment.as_deref(), first.protected, first.size), (Some("hello note"), false, Some(34_002_392)));
    let modes: Vec<_> = first.files.iter().map(|file| file.crypt_mode.clone()).collect();
    let unknown = ClaimedMode::Unknown("quantum".to_owned());
    assert_eq!(modes, [Some(ClaimedMode::Encrypt), Some(ClaimedMode::SignOnly), None, Some(unknown)]);
    assert_eq!((list[1].fingerprint, list[1].protected), (None, true));
    place.assert_clean();
}

#[test]
fn an_empty_answer_is_no_list_and_an_empty_list_is_one() {
    let place = Place::new();
    assert_eq!(snapshot::list(&place.client(&says("[]")), &place.access(), None).unwrap(), []);
    for bad in [
        "",
        "{}",
        "[",
        r#"[{"backup-id":"../x","backup-time":1,"backup-type":"ct","files":[]}]"#,
        r#"[{"backup-id":"-x","backup-time":1,"backup-type":"ct","files":[]}]"#,
        r#"[{"backup-id":"1","backup-time":0,"backup-type":"ct","files":[]}]"#,
        r#"[{"backup-id":"1","backup-time":1,"backup-type":"lxc","files":[]}]"#,
        r#"[{"backup-id":"1","backup-time":1,"backup-type":"ct","files":[{"filename":"../x.blob"}]}]"#,
        r#"[{"backup-id":"1","backup-time":1,"backup-type":"ct","files":[],"fingerprint":"1a:8d"}]"#,
    ] {
        let result = snapshot::list(&place.client(&says(bad)), &place.access(), None);
        assert!(matches!(result, Err(DriverError::Answer { command: "snapshot list", .. })), "{bad}: {result:?}");
    }
    place.assert_clean();
}

#[test]
fn files_and_groups_are_read() {
    let place = Place::new();
    let client = place.client(&says(
        r#"[{"crypt-mode":"encrypt","filename":"data.pxar.didx","size":14001540},{"crypt-mode":"sign-only","filename":"index.json.blob","size":609}]"#,
    ));
    let snapshot = "host/box1/2026-11-21T00:22:54Z".parse().unwrap();
    let files = snapshot::files(&client, &place.access(), &snapshot).unwrap();
    assert_eq!((files[0].name.as_str(), files[0].size), ("data.pxar.didx", Some(14_001_540)));
    let client = place.client(&says(
        r#"[{"backup-count":3,"backup-id":"box1","backup-type":"host","files":["index.json.blob"],"last-backup":1795220574,"owner":"backup@pbs!box1"}]"#,
    ));
    let groups = snapshot::groups(&client, &place.access()).unwrap();
    assert_eq!((groups[0].group.to_string().as_str(), groups[0].count), ("host/box1", 3));
    assert_eq!(groups[0].newest.unwrap().to_string(), "2026-11-21T00:22:54Z");
    place.assert_clean();
}

#[test]
fn the_same_words_mean_what_was_asked_for() {
    let place = Place::new();
    let client = place.client(&fails("Error: ENOENT: No such file or directory"));
    let snapshot = "host/box1/2020-01-01T00:00:00Z".parse().unwrap();
    let files = snapshot::files(&client, &place.access(), &snapshot).unwrap_err();
    assert_eq!(files.failure(), Some(&Failure::NotFound { what: Thing::Snapshot }));
    let list = snapshot::list(&client, &place.access(), None).unwrap_err();
    assert_eq!(list.failure(), Some(&Failure::NotFound { what: Thing::Namespace }));
}

#[test]
fn s38_the_probe_names_what_is_wrong() {
    let place = Place::new();
    for (said, failure) in [
        (
            "Error: error trying to connect: error connecting to https://127.0.0.1:8999/ - tcp connect error: Connection refused (os error 111)",
            Failure::Unreachable { why: Silence::Refused },
        ),
        (
            "Error: authentication failed - invalid credentials\n\nStack backtrace:\n   0: anyhow::error",
            Failure::NotAuthorised { why: Refusal::WrongSecret },
        ),
        ("Error: permission check failed", Failure::NotAuthorised { why: Refusal::Role { missing: None } }),
        (
            "Error: ENOENT: No such file or directory",
            Failure::DatastoreGone { what: "its folder is not there (is its disk mounted?)".to_owned() },
        ),
        (
            "Error: permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/nostore",
            Failure::NotAuthorised {
                why: Refusal::Role {
                    missing: Some("missing Datastore.Audit|Datastore.Backup on /datastore/nostore".to_owned()),
                },
            },
        ),
    ] {
        let error = status::probe(&place.client(&fails(said)), &place.access()).unwrap_err();
        assert_eq!(error.failure(), Some(&failure));
        assert!(error.next_step().is_some());
    }
    let fine = place.client(&says(r#"{"avail":81304510464,"total":270553174016,"used":16268238848}"#));
    assert_eq!(status::probe(&fine, &place.access()).unwrap().avail, 81_304_510_464);
    place.assert_clean();
}

#[test]
fn a_version_without_a_server_says_why() {
    let place = Place::new();
    let own = r#"{"client":{"release":"4","repoid":"4940514b-local","version":"3.2"}}"#;
    let client = place.client(&says(own));
    assert_eq!(version::client(&client).unwrap().to_string(), "3.2.4");
    for (said, failure) in [
        (
            "could not connect to server - authentication failed - invalid credentials",
            Failure::NotAuthorised { why: Refusal::WrongSecret },
        ),
        (
            "could not connect to server - error trying to connect: error connecting to https://127.0.0.1:8999/ - tcp connect error: Connection refused (os error 111)",
            Failure::Unreachable { why: Silence::Refused },
        ),
        (
            "WARNING: certificate fingerprint does not match expected fingerprint!\nexpected:    aa\ncertificate validation failed - Certificate fingerprint was not confirmed.\ncould not connect to server - error trying to connect: error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:../ssl/statem/statem_clnt.c:1889:",
            Failure::Certificate { expected: Some(Fingerprint::from_bytes([0xaa; 32])), presented: None },
        ),
    ] {
        let client = place.client(&format!("{}\n{}", says(own), fails(said).replace("exit 255", "exit 0")));
        let versions = version::both(&client, &place.access()).unwrap();
        assert_eq!(versions.server, Err(failure));
    }
    let both =
        place.client(&says(r#"{"client":{"release":"4","version":"3.2"},"server":{"release":"1","version":"4.0"}}"#));
    assert_eq!(version::both(&both, &place.access()).unwrap().server.unwrap().to_string(), "4.0.1");
    place.assert_clean();
}

#[test]
fn s06_answers_without_end_are_ended() {
    let place = Place::new();
    let error = status::probe(&place.client("exec yes"), &place.access()).unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::UnknownClient { .. })), "{error:?}");
    place.assert_clean();
    // On stderr there is no limit but time; memory is flat (see process.rs).
    let error = status::probe(&place.impatient("exec yes 'Error: x' >&2"), &place.access()).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::TimedOut { waiting_for: "its end" }));
    place.assert_clean();
    // Silence, with both streams closed.
    let error = status::probe(
        &place.impatient("exec >/dev/null 2>&1; sleep 600 & echo $! >> \"$scratch/grandchildren\"; wait"),
        &place.access(),
    )
    .unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::TimedOut { waiting_for: "its end" }));
    place.assert_clean();
    // A good end that leaves something running with the pipes open.
    let leaves = format!(
        "{}\nsleep 600 & echo $! >> \"$scratch/grandchildren\"\nsetsid sleep 20 &",
        says(r#"{"avail":1,"total":2,"used":1}"#)
    );
    assert_eq!(status::probe(&place.client(&leaves), &place.access()).unwrap().total, 2);
    place.assert_clean();
}
