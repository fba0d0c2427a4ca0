//! The played server: tokens, certificates, owners, and when nobody is asked.

use crate::support::{Bench, SECRET, TOKEN, sha256};

fn with_tokens(tokens: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new();
    for (id, secret) in tokens {
        bench.own.push("--token-sha256".into());
        bench.own.push(format!("{id}={}", sha256(secret.as_bytes())).into());
    }
    bench
}

const PROBE: &[&str] = &["status", "--output-format", "json"];

#[test]
fn only_the_tokens_given_come_in() {
    let mut bench = with_tokens(&[(TOKEN, SECRET), ("backup@pbs!two", "second")]);
    bench.run(PROBE).done();
    bench.set("PBS_PASSWORD", "second");
    bench.run(PROBE).failed("authentication failed - invalid credentials");
    bench.set("PBS_REPOSITORY", "backup@pbs!two@pbs.example:store");
    bench.run(PROBE).done();
    bench.set("PBS_REPOSITORY", "backup@pbs!three@pbs.example:store");
    bench.run(PROBE).failed("authentication failed - user account or token disabled or expired.");
    bench.unset("PBS_PASSWORD");
    bench.run(PROBE).failed(
        "error building client for repository backup@pbs!three@pbs.example:8007:store - API token secret must be provided!",
    );
    bench.set("PBS_REPOSITORY", "store");
    bench.run(PROBE).failed("error building client for repository store - no password input mechanism available");
}

#[test]
fn a_secret_comes_the_four_ways_and_the_first_counts() {
    let mut bench = with_tokens(&[(TOKEN, SECRET)]);
    let file = bench.write("secret", format!("{SECRET}\n"));
    bench.set("PBS_PASSWORD_FILE", "/nope");
    bench.run(PROBE).done();
    bench.unset("PBS_PASSWORD");
    bench.run(PROBE).failed(
        "error building client for repository backup@pbs!box1@127.0.0.1:8007:store - unable to open file in ENV(PBS_PASSWORD_FILE): No such file or directory (os error 2)",
    );
    bench.set("PBS_PASSWORD_FILE", file);
    bench.run(PROBE).done();
    bench.set("PBS_PASSWORD_FD", "0");
    let ran = bench.run_with_input(PROBE, b"wrong\n");
    ran.failed("authentication failed - invalid credentials");
    bench.run_with_input(PROBE, format!("{SECRET}\nsecond line\n").as_bytes()).done();
}

#[test]
fn nobody_is_asked_where_no_token_was_given_or_the_datastore_is_a_path() {
    let mut bench = Bench::new();
    bench.unset("PBS_PASSWORD");
    bench.run(PROBE).done();
    let mut bench = with_tokens(&[(TOKEN, SECRET)]);
    bench.unset("PBS_PASSWORD");
    bench.set("PBS_REPOSITORY", bench.store());
    bench.run(PROBE).done();
}

#[test]
fn a_group_belongs_to_its_first_writer() {
    let mut bench = with_tokens(&[(TOKEN, SECRET), ("backup@pbs!two", "second")]);
    let conf = bench.write("a.conf", "a\n");
    let spec = format!("a.conf:{conf}");
    let backup = |bench: &Bench, time: &str| bench.run(&["backup", &spec, "--backup-id", "x", "--backup-time", time]);
    backup(&bench, "1700000000").done();
    assert_eq!(std::fs::read(bench.store().join("host/x/owner")).unwrap(), format!("{TOKEN}\n").as_bytes());
    bench.set("PBS_REPOSITORY", "backup@pbs!two@pbs.example:store");
    bench.set("PBS_PASSWORD", "second");
    backup(&bench, "1700000001").failed("backup owner check failed (backup@pbs!two != backup@pbs!box1)");
    assert!(!bench.store().join("host/x/2023-11-14T22:13:21Z").exists());
    bench.line("restore host/x a.conf -").done();
    bench.set("PBS_REPOSITORY", bench.store());
    backup(&bench, "1700000001").done();
}

#[test]
fn who_has_no_rights_comes_in_and_gets_nowhere() {
    let mut bench = with_tokens(&[(TOKEN, SECRET)]);
    let conf = bench.write("a.conf", "a\n");
    let spec = format!("a.conf:{conf}");
    bench.run(&["backup", &spec, "--backup-id", "x"]).done();
    bench.own.extend(["--without-rights".into(), "backup@pbs!other".into()]);
    bench.line("snapshot list").done();
    bench.own.extend(["--without-rights".into(), TOKEN.into()]);
    bench.run(PROBE).failed("permission check failed");
    let denied = "permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore/store";
    for line in ["snapshot list", "list", "snapshot files host/x/2023-11-14T22:13:20Z", "namespace list"] {
        bench.line(line).failed(denied);
    }
    bench.line("restore host/x/2023-11-14T22:13:20Z a.conf -").failed("no permissions on /datastore/store");
    bench.run(&["backup", &spec]).failed("permission check failed - missing Datastore.Backup on /datastore/store");
    bench.line("version").done();
    bench.set("PBS_REPOSITORY", bench.store());
    bench.line("snapshot list").done();
}

#[test]
fn a_datastore_in_maintenance_is_closed_or_only_to_be_read() {
    let mut bench = with_tokens(&[(TOKEN, SECRET)]);
    let conf = bench.write("a.conf", "a\n");
    let spec = format!("a.conf:{conf}");
    bench.run(&["backup", &spec, "--backup-id", "x"]).done();
    let own = bench.own.len();
    bench.own.extend(["--maintenance".into(), "read-only:new disks".into()]);
    let read_only = "datastore 'store' is in read-only maintenance mode: new disks";
    bench.run(PROBE).done();
    bench.line("restore host/x a.conf -").done();
    bench.run(&["backup", &spec]).failed(read_only);
    bench.line("namespace create a").failed(read_only);
    bench.own.truncate(own);
    bench.own.extend(["--maintenance".into(), "offline".into()]);
    let offline = "datastore 'store' is in offline maintenance mode: ";
    for line in ["status", "snapshot list", "list", "restore host/x a.conf -", "namespace list"] {
        bench.line(line).failed(offline);
    }
    bench.run(&["backup", &spec]).failed(offline);
    bench.line("version").done();
    bench.set("PBS_REPOSITORY", bench.store());
    bench.line("snapshot list").done();
}

#[test]
fn our_own_options_are_checked() {
    let bench = Bench::bare();
    for (words, error) in [
        (
            &["--token-sha256", "backup@pbs!x=00", "status"][..],
            "--token-sha256: expected user@realm!token=<64 hex digits>",
        ),
        (&["--token-sha256", "backup@pbs!x"], "--token-sha256: expected user@realm!token=<64 hex digits>"),
        (&["--root"], "--root: its value is missing"),
        (&["--without-rights", "nobody"], "--without-rights: expected user@realm[!token]"),
        (
            &["--role", "backup@pbs!box1=Admin"],
            "--role: expected user@realm!token=<DatastoreBackup, DatastorePowerUser or DatastoreAdmin>",
        ),
        (&["--maintenance", "closed"], "--maintenance: expected offline[:MESSAGE] or read-only[:MESSAGE]"),
    ] {
        bench.run(words).failed(error);
    }
    let ran = bench.run(&["--certificate-sha256", "aa", "status"]);
    assert!(ran.stderr.starts_with("Error: --certificate-sha256: "), "{}", ran.stderr);
}

#[test]
fn help_goes_to_stdout() {
    let bench = Bench::bare();
    for line in ["help", "--help", "help restore", "restore --help", "key --help", "help key"] {
        let ran = bench.line(line);
        assert_eq!(ran.stderr, "", "{line}");
        assert!(ran.stdout_text().contains("pbs-local"), "{line}");
        ran.done();
    }
}
