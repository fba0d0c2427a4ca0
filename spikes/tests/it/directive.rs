//! What a recovery restores: the box says what it has, the hub makes a directive of it, the operator
//! chooses, and the recovery does just that, and says what it leaves and what has changed.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tenwords_spikes::{
    process::Ended,
    tree::Tree,
    world::{BackupServer, Hub, Pve, World},
};

use crate::{
    guests::{Burnt, back_up_container, burnt, nothing},
    hostile::liar::{Answer, Asked, Liar},
    support::{BOX, by_pipe, container, harmful, joined},
};

fn operator(hub: &Hub, arguments: &[&str]) -> Result<Value> {
    hub.operator(arguments)?.with_code(0)?.json()
}

/// What stands: its number, how it was made, and what it names.
fn standing(hub: &Hub) -> Result<(u64, String, Vec<String>)> {
    let shown = operator(hub, &["directive", "show", BOX])?;
    let head = &shown["directive"]["head"];
    let items = shown["directive"]["directive"]["items"].as_array().context("items")?;
    let groups = items.iter().map(|item| item["group"].as_str().unwrap_or_default().to_owned()).collect();
    let origin = head["origin"].as_str().context("an origin")?.to_owned();
    Ok((head["number"].as_u64().context("a number")?, origin, groups))
}

fn told(ended: &Ended) -> String {
    format!("{}{}", ended.said(), ended.wrote())
}

/// Container 101 once more, of another day (2096-10-02): as after an accident.
fn damaged(world: &World, server: &BackupServer, key: &Path) -> Result<()> {
    let folder = container(world, "ct-101-damaged", b"encrypted by somebody else")?;
    let config = format!("pct.conf:{}", world.folder().join("ct-101.conf").display());
    let (root, key) = (format!("root.pxar:{}", folder.display()), key.display().to_string());
    let all = ["backup", &config, &root, "--backup-type", "ct", "--backup-id", "101", "--keyfile", &key];
    server.run(&[&all[..], &["--backup-time", "4000000000"]].concat())?.with_code(0)?;
    Ok(())
}

fn says(shown: &str, sentences: &[&str]) -> Result<()> {
    // The screen breaks long lines.
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in sentences {
        ensure!(flat.contains(sentence), "`{sentence}` is not told:\n{shown}");
    }
    Ok(())
}

/// The whole of it: made by itself, edited, followed, dropped, compared.
#[test]
fn what_an_operator_chose_is_restored_and_nothing_else_until_he_drops_it() -> Result<()> {
    let mut key = None;
    let burnt = burnt(|world, server, _, made| {
        key = Some(made.to_owned());
        damaged(world, server, made)
    })?;
    let key = key.context("the key")?;
    ensure!(
        standing(&burnt.hub)? == (1, "automatic".to_owned(), vec!["ct/101".to_owned(), "vm/102".to_owned()]),
        "{:?}",
        standing(&burnt.hub)?
    );

    let chosen = ["--only", "ct/101", "--as-of", "2090-03-15", "--vmid", "ct/101=201", "--storage", "local", "--yes"];
    let edit = operator(&burnt.hub, &[&["directive", "edit", BOX], &chosen[..]].concat())?;
    ensure!(edit["directive"]["head"]["number"] == 2, "{edit}");
    let (machine, pve) = burnt.node("box2")?;
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 0)?;
    burnt.container_is_back(&pve, 201).with_context(|| shown.clone())?;
    ensure!(!pve.container_root(101).exists() && !pve.disk(102).exists(), "more was restored:\n{shown}");
    says(
        &shown,
        &[
            "container 201 on storage local",
            "1 snapshots are newer than 2090-03-15T23:59:59Z and not chosen, as the directive says",
            "source pbs: there, not chosen by directive 2: vm/102",
        ],
    )?;
    // The closing ceremony has said anew what there is, and what an operator chose stands all the same.
    ensure!(standing(&burnt.hub)?.0 == 2, "an inventory has changed what an operator chose");
    dropped_it_is_everything_again(&burnt, &key)
}

/// Whatever the hub knew last: what was made since comes back too, and what was taken away is told.
fn dropped_it_is_everything_again(burnt: &Burnt, key: &Path) -> Result<()> {
    operator(&burnt.hub, &["directive", "edit", BOX, "--auto", "--yes"])?;
    ensure!(standing(&burnt.hub)?.1 == "automatic", "it is another");
    let later = back_up_container(&burnt.world, &burnt.server, 105, key)?;
    let newest = burnt.server.snapshots("ct/101")?.pop().context("a snapshot")?;
    fs::remove_dir_all(burnt.server.folder.as_ref().context("a folder")?.join(newest))?;
    fs::remove_dir_all(burnt.server.folder.as_ref().context("a folder")?.join("vm/102"))?;
    let (machine, pve) = burnt.node("box3")?;
    let shown = burnt.recovers(&machine, &burnt.hub.arm(BOX, &[])?, 0)?;
    ensure!(Tree::read(&pve.container_root(105))? == later, "what was made since is not back:\n{shown}");
    burnt.container_is_back(&pve, 101).with_context(|| shown.clone())?;
    says(
        &shown,
        &[
            "OLDER than that of 2096-10-02T07:06:40Z in the inventory of",
            "pbs vm/102 was backed up in the inventory of",
            "pbs ct/105 is new since the inventory of",
        ],
    )?;
    let heads = operator(&burnt.hub, &["directive", "show", BOX, "--history"])?;
    let origins: Vec<&str> =
        heads["directives"].as_array().into_iter().flatten().filter_map(|head| head["origin"].as_str()).collect();
    // The closing ceremony said what there is now, which made a new one of its own.
    ensure!(origins == ["automatic", "automatic", "operator", "automatic"], "{origins:?}");
    let diff = operator(&burnt.hub, &["directive", "diff", BOX, "1", "4"])?["changes"].to_string();
    ensure!(diff.contains("- vm/102") && diff.contains("+ ct/105"), "{diff}");
    Ok(())
}

#[test]
fn s69_a_directive_with_a_number_in_use_waits_and_one_with_another_nodes_storage_is_impossible() -> Result<()> {
    let burnt = burnt(nothing)?;
    let (machine, pve) = burnt.node("box2")?;
    let other = "arch: amd64\nhostname: somebody\nrootfs: local:301/subvol-301-disk-9.subvol,size=1G\n";
    fs::write(pve.etc("nodes/pve2/lxc/301.conf"), other)?;
    let mut storages = fs::read_to_string(pve.etc("storage.cfg"))?;
    storages.push_str("\ndir: faraway\n\tpath /srv/faraway\n\tcontent rootdir,images\n\tnodes pve9\n");
    fs::write(pve.etc("storage.cfg"), storages)?;
    let ticket = burnt.hub.arm(BOX, &[])?;
    let edit = |options: &[&str]| operator(&burnt.hub, &[&["directive", "edit", BOX, "--yes"], options].concat());
    let recovers = |code: i32, sentences: &[&str]| -> Result<()> {
        let ended = by_pipe(&burnt.world, &machine, &ticket, &[], &burnt.words)?;
        let told = told(&ended);
        ensure!(ended.code == Some(code), "recover ended with {:?} instead of {code}:\n{told}", ended.code);
        says(&told, sentences)?;
        ensure!(fs::read_to_string(pve.etc("nodes/pve2/lxc/301.conf"))? == other, "what was there was changed");
        ensure!(!pve.container_root(301).exists(), "a volume was made:\n{told}");
        Ok(())
    };
    edit(&["--only", "ct/101", "--vmid", "ct/101=301"])?;
    recovers(
        13,
        &["the number 301 is taken by the container \"somebody\" on node pve2", "what to do: compare the code"],
    )?;
    edit(&["--only", "ct/101", "--vmid", "ct/101=302", "--storage", "faraway"])?;
    recovers(14, &["the storage faraway is not for this node", "what to do: make the storage on this machine"])?;
    ensure!(!pve.container_root(302).exists() && pve.has_only(301)?, "a guest was begun");
    // What is wrong on the day is mended on the day.
    edit(&["--only", "ct/101", "--vmid", "ct/101=302", "--storage", "local"])?;
    recovers(0, &["container 302 on storage local"])?;
    burnt.container_is_back(&pve, 302)
}

trait Only {
    fn has_only(&self, vmid: u32) -> Result<bool>;
}

impl Only for Pve {
    fn has_only(&self, vmid: u32) -> Result<bool> {
        let mut names = Vec::new();
        for kind in ["lxc", "qemu-server"] {
            for entry in fs::read_dir(self.etc(&format!("nodes/pve2/{kind}")))? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names == [format!("{vmid}.conf")])
    }
}

/// A box that cannot say what it has is protected all the same, and a recovery that cannot hear it goes on.
#[test]
fn a_hub_that_takes_or_tells_no_inventory_holds_up_neither_a_ceremony_nor_a_recovery() -> Result<()> {
    let scene = joined()?;
    // Without a version nobody can have said anything.
    let none = operator(&scene.hub, &["directive", "show", BOX])?;
    ensure!(none.get("directive").is_none() && none["stands"] == true, "{none}");
    let secrets = [scene.server.expose_secret().to_owned(), scene.server.repository.clone()];
    let words = scene.box_1.ceremony(crate::support::as_shown)?;
    let last = fs::read(scene.hub.data().join("hub.db"))?;
    let wal = fs::read(scene.hub.data().join("hub.db-wal")).unwrap_or_default();
    for secret in &secrets {
        let found = [&last, &wal].iter().any(|bytes| bytes.windows(secret.len()).any(|it| it == secret.as_bytes()));
        ensure!(!found, "{secret} is on the hub's disk");
    }
    ensure!(standing(&scene.hub)?.2 == ["ct/101"], "{:?}", standing(&scene.hub)?);

    let noise = "\u{1b}[2J\u{202e}";
    let group = r#"{"group":"ct/777","count":1,"newest":"2026-03-01T00:00:00Z"}"#;
    let hostile = format!(
        r#"{{"v":1,"version":1,"received_at":"2026-03-01T00:00:00Z","inventory":{{"v":1,"made_at":"2026-03-01T00:00:00Z",
        "sources":[{{"id":"pbs","answered":true,"groups":[{group}]}}],
        "guests":[{{"group":"ct/777","name":"{}","covered":true}}]}}}}"#,
        noise.escape_default().to_string().replace("\\u{1b}", "\\u001b").replace("\\u{202e}", "\\u202e")
    );
    for (name, body, zeros, sentence) in [
        ("refused", None, 0, "the hub does not tell the box's last inventory"),
        ("garbage", Some("{\"v\":1".to_owned()), 0, "the hub does not tell the box's last inventory"),
        ("endless", Some(String::new()), 1 << 40, "the hub does not tell the box's last inventory"),
        ("hostile", Some(hostile), 0, "was backed up in the inventory of 2026-03-01T00:00:00Z"),
    ] {
        let machine = scene.fresh(name)?;
        let hub = Liar::with_the_hubs_key(&scene.hub)?;
        hub.speaks_for(&machine);
        hub.tells(Box::new(move |asked: &Asked, truth: Answer| {
            let about = asked.path.ends_with("/inventory");
            let status = if body.is_some() { 200 } else { 503 };
            let lie = body.clone().unwrap_or_default().into_bytes();
            Some(if about { Answer { status, body: lie, zeros, ..truth } } else { truth })
        }));
        let ticket = hub.ticket(&scene.hub.arm(BOX, &[])?)?;
        let ended = by_pipe(&scene.world, &machine, &ticket, &[], &words)?;
        let told = told(&ended);
        ensure!(ended.code == Some(0), "{name}: recover ended with {:?}:\n{told}", ended.code);
        ensure!(Tree::read(&machine.restored("ct/101", "root.pxar"))? == scene.data, "{name}: the data is another");
        says(&told, &[sentence])?;
        ensure!(!harmful(&told), "{name}: {told:?}");
        // Whatever came back to the box: it has said what it has, of sources that were put in place just now.
        ensure!(standing(&scene.hub)?.2 == ["ct/101"], "{name}: {:?}", standing(&scene.hub)?);
        if name == "refused" {
            says(&told, &["the hub did not get this box's inventory", "the next ceremony sends it again"])?;
            ensure!(machine.is_protected()?, "the box is not protected");
        }
    }
    Ok(())
}
