//! `prune --dry-run`: whom a server answers, what it says, and that nothing goes.

use crate::{
    recorded::blocks,
    replay::{Equal, bench_with_store, replay},
    support::{Bench, SECRET, TOKEN, sha256},
};

const X: &str = include_str!("../transcripts/x.txt");
/// The two snapshots of the recording.
const TIMES: [&str; 2] = ["1795220572", "1795220573"];
const DENIED: &str = "permission check failed - missing Datastore.Modify|Datastore.Prune on /datastore/store";

fn back_up(bench: &Bench, times: &[&str], more: &[&str]) {
    let conf = bench.write("a.conf", "a\n");
    for time in times {
        let spec = format!("a.conf:{conf}");
        let all = [&["backup", &spec, "--backup-id", "box1", "--backup-time", time], more].concat();
        bench.run(&all).done();
    }
}

fn with_role(role: &str) -> Bench {
    let mut bench = Bench::new();
    bench.own.extend(["--token-sha256".into(), format!("{TOKEN}={}", sha256(SECRET.as_bytes())).into()]);
    if !role.is_empty() {
        bench.own.extend(["--role".into(), format!("{TOKEN}={role}").into()]);
    }
    back_up(&bench, &TIMES, &[]);
    bench
}

#[test]
fn a_dry_run_looks_as_recorded() {
    let bench = bench_with_store();
    back_up(&bench, &TIMES, &[]);
    let block = |title: &str| blocks(X).into_iter().find(|block| block.title == title).unwrap();
    replay(&bench, &block("prune dry-run json"), Equal::Exactly);
    // The one in earnest, said beforehand.
    let mut table = block("prune");
    table.words.push("--dry-run".to_owned());
    replay(&bench, &table, Equal::Exactly);
}

#[test]
fn a_backup_token_is_refused_and_others_are_answered() {
    for role in ["", "DatastoreBackup"] {
        with_role(role).line("prune host/box1 --dry-run true").failed(DENIED);
    }
    for role in ["DatastorePowerUser", "DatastoreAdmin"] {
        let said = with_role(role).line("prune host/box1 --dry-run true --output-format json").done();
        let rows: serde_json::Value = serde_json::from_slice(&said).unwrap();
        let keep: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["keep"] == true).collect();
        assert_eq!(keep, [true, true], "without a number all are kept");
    }
}

/// The privilege is asked for before the group is, in maintenance and where there is none.
#[test]
fn the_privilege_comes_before_everything_else() {
    let mut bench = with_role("");
    bench.line("prune host/nobody --dry-run true").failed(DENIED);
    bench.line("prune host/box1 --dry-run true --ns a/b").failed(&format!("{DENIED}/a/b"));
    bench.own.extend(["--maintenance".into(), "read-only:new disks".into()]);
    bench.line("prune host/box1 --dry-run true").failed(DENIED);
    let mut bench = with_role("DatastorePowerUser");
    let owner = bench.store().join("host/nobody/owner");
    bench
        .line("prune host/nobody --dry-run true")
        .failed(&format!("unable to read {owner:?} - No such file or directory (os error 2)"));
    bench.own.extend(["--maintenance".into(), "read-only:new disks".into()]);
    let closed = "datastore 'store' is in read-only maintenance mode: new disks";
    bench.line("prune host/box1 --dry-run true").failed(closed);
    with_role("DatastoreAdmin").line("prune host/nobody --dry-run true").failed("ENOENT: No such file or directory");
}

#[test]
fn who_may_prune_his_own_is_refused_what_is_another_s() {
    let mut bench = with_role("DatastorePowerUser");
    bench.own.extend(["--token-sha256".into(), format!("backup@pbs!two={}", sha256(b"second")).into()]);
    bench.own.extend(["--role".into(), "backup@pbs!two=DatastorePowerUser".into()]);
    bench.set("PBS_REPOSITORY", "backup@pbs!two@pbs.example:store");
    bench.set("PBS_PASSWORD", "second");
    bench
        .line("prune host/box1 --dry-run true")
        .failed("backup owner check failed (backup@pbs!two != backup@pbs!box1)");
    bench.own.extend(["--without-rights".into(), "backup@pbs!two".into()]);
    bench.line("prune host/box1 --dry-run true").failed(DENIED);
}

#[test]
fn protected_ones_and_the_newest_unfinished_are_kept() {
    let bench = Bench::new();
    back_up(&bench, &["1700000000", "1700000001", "1700000002", "1700000003"], &[]);
    let group = bench.store().join("host/box1");
    std::fs::write(group.join("2023-11-14T22:13:20Z/.protected"), "").unwrap();
    for unfinished in ["2023-11-14T22:13:21Z", "2023-11-14T22:13:23Z"] {
        std::fs::remove_file(group.join(unfinished).join("index.json.blob")).unwrap();
    }
    let kept = |line: &str| -> Vec<bool> {
        let rows: serde_json::Value = serde_json::from_slice(&bench.line(line).done()).unwrap();
        rows.as_array().unwrap().iter().map(|row| row["keep"] == true).collect()
    };
    let line = "prune host/box1 --dry-run --output-format json";
    assert_eq!(kept(&format!("{line} --keep-last 1")), [true, false, true, true]);
    assert_eq!(kept(line), [true; 4]);
    assert_eq!(std::fs::read_dir(group).unwrap().count(), 5, "four snapshots and the owner");
}

#[test]
fn nothing_is_ever_removed() {
    let bench = with_role("DatastoreAdmin");
    for line in ["prune host/box1", "prune host/box1 --keep-last 1", "prune host/box1 --dry-run false --keep-last 1"] {
        bench.line(line).failed("pbs-local removes no backup; with --dry-run it says what a server would keep");
    }
    bench.line("prune host/box1 --dry-run --keep-last 1").done();
    assert_eq!(std::fs::read_dir(bench.store().join("host/box1")).unwrap().count(), 3, "two snapshots and the owner");
}
