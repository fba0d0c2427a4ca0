//! The half that needs no server: every question that the client asks about a key.

use std::fs;

use pbs_driver::{Client, Failure, key, version};
use pbs_format::key::{EncryptionKey, KeyFile};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use super::mount::Mount;
use crate::place::{KEYS, WORDS, all_words};

pub(super) fn keys(mount: &Mount) {
    let client = &mount.client;
    let original = EncryptionKey::generate(&mut UnwrapErr(SysRng));
    let plain = KeyFile::plain(&original, 1_795_220_666, 1_795_220_666).to_json();

    // There, and the format that we read natively; and back, to the same key and birth.
    for passphrase in [WORDS, "árvíztűrő tükörfúró", "abcde"] {
        let wrapped = key::wrapped(client, &plain, passphrase).unwrap_or_else(|e| panic!("{}", all_words(&e)));
        let file = KeyFile::parse(&wrapped).unwrap();
        assert_eq!(file.open(Some(passphrase.as_bytes())).unwrap().expose_bytes(), original.expose_bytes());
        assert_eq!(
            (file.created(), file.fingerprint(), file.hint()),
            (1_795_220_666, Some(original.fingerprint()), None)
        );
        let opened = key::unwrapped(client, &wrapped, passphrase).unwrap();
        let file = KeyFile::parse(&opened).unwrap();
        assert_eq!(file.open(None).unwrap().expose_bytes(), original.expose_bytes());
        assert_eq!(file.created(), 1_795_220_666);
    }

    // What we wrapped natively, the client opens.
    let opened = key::unwrapped(client, &KEYS.wrapped, WORDS).unwrap();
    assert_eq!(KeyFile::parse(&opened).unwrap().open(None).unwrap().fingerprint(), KEYS.fingerprint);

    // From one passphrase to another: three questions. And back with the new one alone.
    let folder = client.private().folder().unwrap();
    let path = folder.write("rewrap.json", &KEYS.wrapped).unwrap();
    key::rewrap(client, &path, WORDS, "árvíztűrő tükörfúró").unwrap_or_else(|e| panic!("{}", all_words(&e)));
    assert_eq!(key::unwrap(client, &path, WORDS).unwrap_err().failure(), Some(&Failure::WrongPassphrase));
    key::unwrap(client, &path, "árvíztűrő tükörfúró").unwrap();
    let file = KeyFile::parse(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(file.open(None).unwrap().fingerprint(), KEYS.fingerprint);

    // A key of the client's own; never over another one.
    let path = folder.path().join("created.json");
    key::create(client, &path, WORDS).unwrap_or_else(|e| panic!("{}", all_words(&e)));
    let file = KeyFile::parse(&fs::read(&path).unwrap()).unwrap();
    let created = file.open(Some(WORDS.as_bytes())).unwrap();
    assert_eq!(file.fingerprint(), Some(created.fingerprint()));
    assert_eq!(key::create(client, &path, WORDS).unwrap_err().failure(), Some(&Failure::TargetExists));
    let short = folder.path().join("short.json");
    assert_eq!(key::create(client, &short, "abcd").unwrap_err().failure(), Some(&Failure::PassphraseTooShort));
    assert!(!short.exists());
    folder.close().unwrap();

    // Wrong words, of the same and of another length.
    for wrong in [&WORDS.replace("zoom", "zoos"), "other words"] {
        let error = key::unwrapped(client, &KEYS.wrapped, wrong).unwrap_err();
        assert_eq!(error.failure(), Some(&Failure::WrongPassphrase));
    }
    for (result, what) in
        [(key::unwrapped(client, &KEYS.wrapped, "abcd"), "old"), (key::wrapped(client, &plain, "abcd"), "new")]
    {
        assert_eq!(result.unwrap_err().failure(), Some(&Failure::PassphraseTooShort), "{what}");
    }

    // A key file that lies about its key.
    let other = EncryptionKey::generate(&mut UnwrapErr(SysRng)).fingerprint();
    let lying =
        String::from_utf8(plain.to_vec()).unwrap().replace(&original.fingerprint().to_string(), &other.to_string());
    let error = key::wrapped(client, lying.as_bytes(), WORDS).unwrap_err();
    let mismatch = Failure::KeyFileMismatch { stated: other.shortened(), found: original.fingerprint().shortened() };
    assert_eq!(error.failure(), Some(&mismatch));

    assert!(!version::client(client).unwrap().to_string().is_empty());
    mount.place.assert_clean();
}

/// No program, and programs that are another: the same words whatever the suite is mounted on.
pub(super) fn other_programs(mount: &Mount) {
    let missing = mount.place.scratch().join("no-such-client");
    let client = Client::new(&missing, mount.place.private.clone()).unwrap();
    let error = key::unwrapped(&client, &KEYS.wrapped, WORDS).unwrap_err();
    assert_eq!(error.failure(), Some(&Failure::NoClient { program: missing }));
    assert!(error.next_step().unwrap().contains("proxmox-backup-client"));
    for program in ["/bin/true", "/bin/echo", "/bin/false"] {
        let client = Client::new(program, mount.place.private.clone()).unwrap();
        let error = key::unwrapped(&client, &KEYS.wrapped, WORDS).unwrap_err();
        let known = matches!(error.failure(), Some(Failure::UnknownClient { .. } | Failure::Unknown { .. }));
        assert!(known && error.is_the_clients_own(), "{program}: {}", all_words(&error));
    }
    mount.place.assert_clean();
}
