//! Every refusal says what happened and what to do now, on standard error, with its exit code.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

fn agent(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tenwords-agent"))
        .arg("--config")
        .arg(folder.join("agent.toml"))
        .args(args)
        .stdin(Stdio::null())
        .env_clear()
        .output()
        .expect("the agent starts")
}

fn configured(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let text = format!("state = \"{}\"\nfiles = []\n{text}", state.display());
    fs::write(folder.path().join("agent.toml"), text).expect("a configuration");
    folder
}

fn refused(output: &Output, code: i32, says: &[&str]) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    assert!(stdout.is_empty(), "{stdout}");
    for text in says {
        assert!(stderr.contains(text), "{text:?} is not in {stderr}");
    }
}

#[test]
fn a_configuration_that_is_not_understood_is_named() {
    let folder = configured("clientt = \"/usr/bin/proxmox-backup-client\"");
    refused(&agent(folder.path(), &["status"]), 2, &["agent.toml", "clientt", "what to do:"]);
}

#[test]
fn a_node_that_is_not_enrolled_is_told_how_to_enrol() {
    let folder = configured("");
    for (command, code) in [(["status"].as_slice(), 1), (&["escrow", "create"], 10)] {
        refused(&agent(folder.path(), command), code, &["not enrolled", "what to do:", "enroll --ticket"]);
    }
}

#[test]
fn a_mistyped_ticket_is_refused_before_anything_is_asked_of_the_network() {
    let folder = configured("");
    let keys = folder.path().join("keys");
    fs::write(&keys, "").expect("an empty list");
    let keys = keys.to_str().expect("UTF-8");
    let ticket = "tenwords1:127.0.0.1:1:NN29DEDNKSDR22YRVHD1TP3CWG5YAECR697M";
    refused(
        &agent(folder.path(), &["enroll", "--ticket", ticket, "--operator-keys", keys]),
        2,
        &["the ticket", "mistyped", "what to do:"],
    );
}

#[test]
fn a_hub_that_does_not_answer_is_named() {
    let folder = configured("");
    let keys = folder.path().join("keys");
    fs::write(&keys, "").expect("an empty list");
    let ticket = "tenwords1:127.0.0.1:1:NN29DEDNKSDR22YRVHD1TP3CWG5YAECR697N";
    let args = ["enroll", "--ticket", ticket, "--operator-keys", keys.to_str().expect("UTF-8")];
    refused(&agent(folder.path(), &args), 15, &["127.0.0.1:1", "does not answer", "what to do:"]);
}

#[test]
fn an_operator_key_with_an_option_is_refused() {
    let folder = configured("");
    let keys = folder.path().join("keys");
    fs::write(&keys, "operational valid-before=\"20300101\" ssh-ed25519 AAAA\n").expect("a list");
    let ticket = "tenwords1:127.0.0.1:1:NN29DEDNKSDR22YRVHD1TP3CWG5YAECR697N";
    let args = ["enroll", "--ticket", ticket, "--operator-keys", keys.to_str().expect("UTF-8")];
    refused(&agent(folder.path(), &args), 2, &["line 1", "option", "what to do:"]);
}

#[test]
fn every_preflight_failure_is_told_at_once() {
    let folder = configured("runtime = \"/proc\"\nclient = \"/nonexistent/proxmox-backup-client\"");
    refused(&agent(folder.path(), &["recover", "--ticket", "x"]), 10, &["before the words", "/proc", "what to do:"]);
}

#[test]
fn json_says_the_same_to_machines() {
    let folder = configured("");
    let output = agent(folder.path(), &["--json", "status"]);
    assert_eq!(output.status.code(), Some(1));
    let text: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(text["exit_code"], 1);
    assert!(text["remedy"].as_str().is_some_and(|remedy| remedy.contains("enroll")), "{text}");
}

#[test]
fn an_inventory_of_a_machine_without_sources_says_so() {
    let no = "\"/nonexistent/pve\"";
    let folder = configured(&format!(
        "runtime = \"/proc\"\n[pve]\netc = {no}\npct = {no}\nqm = {no}\nqmrestore = {no}\npvesm = {no}"
    ));
    let output = agent(folder.path(), &["inventory"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("No sources") && text.contains("[[source]]"), "{text}");
}

#[test]
fn help_teaches() {
    let folder = configured("");
    for (args, says) in [
        (["--help"].as_slice(), ["[[source]]", "[pve]", "storage.cfg", "Exit codes", "ten words"].as_slice()),
        (&["escrow", "create", "--help"], &["opens it again", "not touched"]),
        (&["inventory", "--help"], &["no job covers", "15 unreachable", "changes nothing"]),
        (&["recover", "--help"], &["--code-fd", "never a file on a disk", "--yes"]),
        (&["enroll", "--help"], &["allowed_signers", "operational,recovery"]),
    ] {
        let output = agent(folder.path(), args);
        // The help is wrapped to the width of the terminal.
        let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        for word in says {
            assert!(text.contains(word), "{word:?} is not in the help of {args:?}:\n{text}");
        }
    }
}
