//! S07, S08: whatever happens while a key is being wrapped, a whole one is there, and it is the right one.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use pbs_driver::{Client, Failure, Limits, PrivateDir, key};
use pbs_format::key::{EncryptionKey, Kdf, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use crate::place::{KEYS, Place, WORDS, all_words, pbs_local, write_program};

/// A client that really derives and writes, started by a wrapper of this shell text.
fn working(place: &Place, before: &str) -> PathBuf {
    let root = place.scratch().join("root");
    fs::create_dir(&root).unwrap();
    let wrapper = place.scratch().join("proxmox-backup-client");
    let scratch = place.scratch().display();
    write_program(
        &wrapper,
        &format!(
            "#!/bin/sh\nscratch='{scratch}'\n{before}\nexec '{}' --root '{}' \"$@\"\n",
            pbs_local().display(),
            root.display()
        ),
    );
    wrapper
}

/// The key in a file that must be whole: as it was, or under the words.
fn whole(text: &[u8]) -> EncryptionKey {
    let file = KeyFile::parse(text).unwrap();
    match file.kdf() {
        Kdf::None => file.open(None).unwrap(),
        _ => file.open(Some(WORDS.as_bytes())).unwrap(),
    }
}

#[test]
fn s07_killed_at_any_moment_the_copy_is_old_or_new_and_the_live_key_as_it_was() {
    let place = Place::new();
    // It dies by itself, some hundredths of a second after its start: in the interpreter, at a prompt,
    // while deriving, while writing, or after its end.
    let dies = "n=$(cat \"$scratch/n\"); me=$$; (sleep \"$n\"; kill -9 $me) >/dev/null 2>&1 </dev/null &";
    let client = Client::new(working(&place, dies), place.private.clone()).unwrap();
    let live = place.scratch().join("live.enc");
    fs::write(&live, &*KEYS.plain).unwrap();
    let (mut old, mut new) = (0, 0);
    for n in
        ["0.00", "0.02", "0.05", "0.08", "0.11", "0.15", "0.20", "0.25", "0.30", "0.35", "0.40", "0.50", "0.99", "600"]
    {
        fs::write(place.scratch().join("n"), n).unwrap();
        let folder = place.private.folder().unwrap();
        let path = folder.write("k.enc", &fs::read(&live).unwrap()).unwrap();
        let result = key::wrap(&client, &path, WORDS);
        let text = fs::read(&path).unwrap();
        assert_eq!(whole(&text).fingerprint(), KEYS.fingerprint, "{n} s");
        if text == *KEYS.plain {
            old += 1;
            assert!(result.is_err(), "{n} s");
        } else {
            new += 1;
        }
        if let Err(error) = &result {
            assert!(matches!(error.failure(), Some(Failure::Interrupted)), "{n} s: {}", all_words(error));
        }
        assert_eq!(fs::read(&live).unwrap(), *KEYS.plain);
        drop(folder);
    }
    // At once and after ten minutes: the first never gets to write, the last always does.
    assert!(old > 0 && new > 0, "{old} old, {new} new");
    place.assert_clean();
}

/// A client that is killed with its new file written and not yet in place, as exactly as it can be said.
#[test]
fn s07_killed_between_the_new_file_and_its_place_the_copy_is_the_old_one() {
    let place = Place::new();
    let client = place.client(
        "ask 'New Password: '; ask 'Verify Password: '; cp \"$wrapped\" \"$3.tmp_x\"; echo done > \"$scratch/written\"; kill -9 $$",
    );
    let (folder, path) = place.plain_copy();
    let error = key::wrap(&client, &path, WORDS).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::Interrupted));
    assert_eq!(place.left("written").unwrap().trim(), "done");
    assert_eq!(fs::read(&path).unwrap(), *KEYS.plain);
    drop(folder);
    place.assert_clean();
}

#[test]
fn s07_with_the_disk_full_the_copy_is_the_old_one_and_it_is_said() {
    let place = Place::new();
    let small = Small::mount(place.scratch().join("small"));
    let Some(small) = small else {
        println!("SKIPPED: a small tmpfs needs root");
        return;
    };
    let private = PrivateDir::open(&small.0).unwrap();
    let client = Client::new(working(&place, ""), private.clone()).unwrap();
    let client = client.with_limits(Limits { prompt: Duration::from_secs(60), ..Limits::default() });
    let folder = private.folder().unwrap();
    let path = folder.write("k.enc", &KEYS.plain).unwrap();
    // As much as goes in, and one byte at a time at the end.
    let full = small.0.join("filler");
    let filled = Command::new("dd").args(["if=/dev/zero", "bs=512"]).arg(format!("of={}", full.display())).output();
    assert!(!filled.unwrap().status.success(), "the tmpfs has no limit");
    let error = key::wrap(&client, &path, WORDS).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::DiskFull), "{}", all_words(&error));
    assert_eq!(fs::read(&path).unwrap(), *KEYS.plain);
    fs::remove_file(full).unwrap();
    key::wrap(&client, &path, WORDS).unwrap();
    assert_eq!(whole(&fs::read(&path).unwrap()).fingerprint(), KEYS.fingerprint);
}

/// The byte that is lost is a real one of the answer, at every place of it in turn.
#[test]
fn s08_wherever_a_byte_is_lost_it_is_noticed_and_tried_again() {
    let place = Place::new();
    for (lost, number) in [(1, 1), (30, 1), (WORDS.len(), 1), (1, 2), (WORDS.len(), 2)] {
        // In the first run one byte of one answer is gone.
        let body = format!(
            r#"loses() {{ [ -e "$scratch/again" ] || [ "$1" != {number} ] || answer=$(printf '%s' "$answer" | cut --complement -b{lost}); }}
ask 'New Password: '; loses 1; first=$answer; ask 'Verify Password: '; loses 2
echo x >> "$scratch/runs"
[ "$first" = "$answer" ] || {{ touch "$scratch/again"; printf 'Error: Passwords do not match!\r\n'; exit 255; }}
cp "$wrapped" "$3""#
        );
        let wrapped = key::wrapped(&place.client(&body), &KEYS.plain, WORDS).unwrap();
        assert_eq!(whole(&wrapped).fingerprint(), KEYS.fingerprint);
        assert_eq!(place.left("runs").unwrap().lines().count(), 2, "byte {lost} of answer {number}");
        for file in ["runs", "again"] {
            fs::remove_file(place.scratch().join(file)).unwrap();
        }
    }
    place.assert_clean();
}

/// The same byte lost from both answers: the client is content, and no opening with the words is.
#[test]
fn s08_a_byte_lost_from_both_answers_makes_a_key_that_no_opening_accepts() {
    let place = Place::new();
    let mut rng = UnwrapErr(SysRng);
    let key = KeyFile::parse(&KEYS.plain).unwrap().open(None).unwrap();
    let lossy = KeyFile::scrypt(&key, &WORDS.as_bytes()[1..], 1_795_220_666, 1_795_220_999, &mut rng).unwrap();
    fs::write(place.scratch().join("lossy.json"), &*lossy.to_json()).unwrap();
    let client = place.client("ask 'New Password: '; ask 'Verify Password: '; cp \"$scratch/lossy.json\" \"$3\"");
    let wrapped = key::wrapped(&client, &KEYS.plain, WORDS).unwrap();
    // What stands between this and an escrow: two openings, by the client and by ourselves.
    assert!(KeyFile::parse(&wrapped).unwrap().open(Some(WORDS.as_bytes())).is_err());
    let other = Place::new();
    let client = Client::new(working(&other, ""), other.private.clone()).unwrap();
    let error = key::unwrapped(&client, &wrapped, WORDS).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::WrongPassphrase));
}

/// A tmpfs of 64 KiB; gone with the value.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let options = "size=64k,mode=0700";
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).output().ok()?;
        done.status.success().then_some(Self(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
