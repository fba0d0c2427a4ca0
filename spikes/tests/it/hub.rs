//! S32, S65: a hub that serves something else than it was given. Everything is altered on its disk,
//! under headers that fit, so that nothing but the words and the root can notice.

use anyhow::{Result, ensure};
use pbs_format::key::{EncryptionKey, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::part::PartName;

use crate::support::{BOX, Disk, Parts, key_part, protected};

type Change = Box<dyn Fn(&mut Parts)>;

fn replaced(name: PartName, from: String, to: String) -> Change {
    Box::new(move |parts| {
        let part = parts.get_mut(&name).expect("the part is there");
        let text = String::from_utf8(part.clone()).expect("a key part is text");
        let changed = text.replacen(&from, &to, 1);
        assert_ne!(text, changed, "`{from}` is not in it");
        *part = changed.into_bytes();
    })
}

fn flipped(name: PartName, at: usize) -> Change {
    Box::new(move |parts| {
        let part = parts.get_mut(&name).expect("the part is there");
        let at = at.min(part.len() - 1);
        part[at] ^= 1;
    })
}

#[test]
fn s32_s65_what_the_hub_alters_is_refused_and_nothing_is_installed() -> Result<()> {
    let scene = protected()?;
    let mut disk = Disk::of(&scene.hub)?;
    let genuine = disk.parts(1)?;
    let name = key_part(&genuine)?;
    let text = String::from_utf8(genuine[&name].clone())?;
    let ours = scene.key.fingerprint();
    let theirs = EncryptionKey::generate(&mut UnwrapErr(SysRng));
    let plain = String::from_utf8(KeyFile::plain(&theirs, 0, 0).to_json().to_vec())?;
    let lying = plain.replace(&theirs.fingerprint().to_string(), &ours.to_string());
    let planted = PartName::Key(theirs.fingerprint());
    let after = |field: &str| text.find(field).map_or(0, |at| at + field.len());

    // 12: the words opened the root, and the root says no. 11: they open nothing that lies there.
    let mut cases: Vec<(&str, &[u32], Change)> = vec![
        ("our key part, another cost", &[12], replaced(name, "\"n\":65536".into(), "\"n\":131072".into())),
        ("our key part, without words", &[12], {
            let lying = lying.clone();
            Box::new(move |parts| drop(parts.insert(name, lying.clone().into_bytes())))
        }),
        ("their key part in the place of ours", &[12], {
            let plain = plain.clone();
            Box::new(move |parts| drop(parts.insert(name, plain.clone().into_bytes())))
        }),
        ("a key more", &[12], {
            let plain = plain.clone();
            Box::new(move |parts| drop(parts.insert(planted, plain.clone().into_bytes())))
        }),
        (
            "another key instead",
            &[12],
            Box::new(move |parts| {
                parts.remove(&name);
                parts.insert(planted, plain.clone().into_bytes());
            }),
        ),
    ];
    for field in ["\"salt\":\"", "\"created\":\"2", "\"data\":\"", "\"fingerprint\":\""] {
        cases.push((field, &[12], flipped(name, after(field))));
    }
    for at in [25, 40, 120, 200, usize::MAX] {
        cases.push(("a byte of the root", &[11, 12], flipped(PartName::Root, at)));
    }

    let ticket = scene.hub.arm(BOX, &[])?;
    let machine = scene.fresh("box2")?;
    let words = scene.words.as_str();
    for (what, codes, change) in cases {
        let mut parts = genuine.clone();
        change(&mut parts);
        ensure!(parts != genuine, "{what}: nothing was changed");
        disk.serve(1, &parts)?;
        // The three tries are for words that open nothing.
        scene
            .refuses(&machine, &ticket, &[words, words, words], codes)
            .map_err(|error| error.context(what.to_owned()))?;
    }
    // The same disk as it was opens: it was the changes that were refused.
    disk.serve(1, &genuine)?;
    scene.recovers(&machine, &ticket, words)?;
    Ok(())
}

/// Two ceremonies under the same words (a recovery ends with one), mixed by the hub.
#[test]
fn s65_parts_of_two_ceremonies_are_refused() -> Result<()> {
    let scene = protected()?;
    let box_2 = scene.fresh("box2")?;
    scene.recovers(&box_2, &scene.hub.arm(BOX, &[])?, &scene.words)?;
    let mut disk = Disk::of(&scene.hub)?;
    let (first, second) = (disk.parts(1)?, disk.parts(2)?);
    let name = key_part(&first)?;
    ensure!(key_part(&second)? == name && first[&name] != second[&name], "one key, wrapped twice");
    let ticket = scene.hub.arm(BOX, &[])?;
    let box_3 = scene.fresh("box3")?;
    for (what, root, key) in
        [("an old root with a newer key part", &first, &second), ("a new root with an older key part", &second, &first)]
    {
        let mixed = Parts::from([(PartName::Root, root[&PartName::Root].clone()), (name, key[&name].clone())]);
        disk.serve(2, &mixed)?;
        scene.refuses(&box_3, &ticket, &[&scene.words], &[12]).map_err(|error| error.context(what))?;
    }
    // A hub that hides the newer ceremony shows an older date: that is for the customer to see.
    disk.hide(2)?;
    let recovery = scene.recovers(&box_3, &ticket, &scene.words)?;
    ensure!(recovery.shown.contains("sequence 1,"), "the sequence is not shown:\n{}", *recovery.shown);
    Ok(())
}
