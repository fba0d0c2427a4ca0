//! S71: what comes from elsewhere, in everything that a recovery keeps and tells: the plan, the journal, the
//! status, the report.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::liar::{Answer, Asked, Liar};
use crate::{
    guests::{burnt, nothing},
    support::{BOX, by_pipe, client, edit_manifest, harmful},
};

/// A hub that calls the box so and its guests so, with ten megabytes of it where it finds room; a server with
/// notes; a client that says it. One recovery that ends badly, and all that it leaves behind.
#[test]
fn s71_plan_journal_status_and_report_are_harmless_and_bounded() -> Result<()> {
    let burnt = burnt(nothing)?;
    let noise = "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}gnp.exe\u{2066}\u{9b}31m";
    let newest = burnt.server.snapshots("vm/102")?.pop().context("a snapshot")?;
    let there = burnt.server.folder.as_ref().context("a folder")?.join(newest);
    edit_manifest(&there, |manifest| manifest["unprotected"]["notes"] = noise.repeat(10_000).into())?;
    let script = format!(
        "case \"$*\" in *' ct/101/'*' root.pxar '*) yes '{noise}' | head -c 10000000 >&2\n\
         echo \"Error: {noise} $(yes y | tr -d '\\n' | head -c 100000)\" >&2; exit 255 ;; esac"
    );
    let talking = client(&burnt.world, &burnt.server, "talking-client", &script)?;
    let (machine, pve) = burnt.node_with("box2", &talking)?;
    fs::write(pve.etc("nodes/pve2/qemu-server/102.conf"), format!("name: {noise}{}\n", "long".repeat(5000)))?;
    let hub = Liar::with_the_hubs_key(&burnt.hub)?;
    hub.speaks_for(&machine);
    let ticket = hub.ticket(&burnt.hub.arm(BOX, &[])?)?;
    for (turn, json) in [(0, false), (1, true)] {
        hub.tells(Box::new(move |asked: &Asked, truth: Answer| {
            let mut value: serde_json::Value = match serde_json::from_slice(&truth.body) {
                Ok(value) => value,
                Err(_) => return Some(truth),
            };
            if asked.path.ends_with("/claim") {
                value["box_name"] = format!("{noise}{}", "x".repeat(100_000)).into();
            } else if asked.path.ends_with("/inventory") && asked.method == "GET" && turn == 0 {
                for guest in value["inventory"]["guests"].as_array_mut().into_iter().flatten() {
                    guest["name"] = noise.into();
                    guest["covered"] = false.into();
                    guest["group"] = "ct/909".into();
                }
            } else if asked.path.ends_with("/inventory") && asked.method == "GET" {
                value["inventory"]["made_at"] = noise.repeat(500_000).into();
            } else {
                return Some(truth);
            }
            Some(Answer { body: value.to_string().into_bytes(), ..truth })
        }));
        let more: &[&str] = if json { &["--json"] } else { &[] };
        let ended = by_pipe(&burnt.world, &machine, &ticket, more, &burnt.words)?;
        ensure!(ended.code == Some(14), "recover ended with {:?}:\n{}{}", ended.code, ended.said(), ended.wrote());
        let folder = machine.state().join("recovery");
        let status = machine.agent(&["recover", "--status"], "")?.with_code(14)?;
        let as_json = machine.agent(&["--json", "recover", "--status"], "")?.with_code(14)?;
        for (what, text) in [
            ("what it said", ended.said()),
            ("what it wrote", ended.wrote()),
            ("the plan", fs::read_to_string(folder.join("plan.txt"))?),
            ("the plan as JSON", fs::read_to_string(folder.join("plan.json"))?),
            ("the journal", fs::read_to_string(folder.join("journal"))?),
            ("the status", status.wrote()),
            ("the status as JSON", as_json.wrote()),
        ] {
            ensure!(!text.is_empty(), "{what} is empty");
            ensure!(text.len() < 100_000, "{what} has {} bytes", text.len());
            ensure!(!harmful(&text), "{what}: {text:?}");
        }
        // It is there to be read all the same, and is not simply left out.
        let journal = fs::read_to_string(folder.join("journal"))?;
        for (what, text) in [("said", ended.said() + &ended.wrote()), ("in the journal", journal)] {
            ensure!(text.contains("gnp.exe"), "nothing of it is {what}: {text}");
        }
        ensure!(!status.wrote().contains('\u{1b}') && !as_json.wrote().contains("\\u001b"), "{}", as_json.wrote());
    }
    Ok(())
}
