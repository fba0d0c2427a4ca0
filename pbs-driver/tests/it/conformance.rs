//! One suite, mounted twice: on `pbs-local` always, on the real client when `TENWORDS_PBS_CLIENT`
//! names one (and, for the half that needs data, `PBS_REPOSITORY`, `PBS_PASSWORD` and
//! `PBS_FINGERPRINT` a server and token that may back up and restore).
//!
//! Nothing in the suite knows which one it drives.

use std::{
    env, fs,
    ops::ControlFlow,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use pbs_driver::{
    Access, Certificate, Client, DriverError, Failure,
    failure::{Refusal, Thing},
    key,
    restore::{self, Progress, Request},
    snapshot::{self, ClaimedMode},
    status, version,
};
use pbs_format::{
    datastore::{FileName, Group, SnapshotRef},
    key::{EncryptionKey, KeyFile},
    manifest::Manifest,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use tenwords_protocol::{fingerprint::Fingerprint, hash::Sha256};
use zeroize::Zeroizing;

use crate::place::{KEYS, Place, TOKEN, WORDS, all_words, rerun, write_program};

/// Where a data suite finds its server.
struct Server {
    repository: String,
    token: String,
    certificate: Certificate,
}

struct Mount {
    place: Place,
    client: Client,
    server: Option<Server>,
}

impl Mount {
    fn on_pbs_local() -> Self {
        let place = Place::new();
        let root = place.scratch().join("root");
        fs::create_dir(&root).unwrap();
        let made = Command::new(&*PBS_LOCAL).args(["datastore", "create"]).arg(root.join("store")).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let certificate = Fingerprint::from_bytes([0xaa; 32]);
        let wrapper = place.scratch().join("proxmox-backup-client");
        write_program(
            &wrapper,
            &format!(
                "#!/bin/sh\nexec '{}' --root '{}' --token-sha256 'backup@pbs!box1={}' --certificate-sha256 {certificate} \"$@\"\n",
                PBS_LOCAL.display(),
                root.display(),
                Sha256::of(TOKEN.as_bytes()),
            ),
        );
        let server = Server {
            repository: "backup@pbs!box1@127.0.0.1:8007:store".to_owned(),
            token: TOKEN.to_owned(),
            certificate: Certificate::Pinned(certificate),
        };
        let client = Client::new(wrapper, place.private.clone()).unwrap();
        Self { place, client, server: Some(server) }
    }

    fn on_the_real_client() -> Option<Self> {
        let Some(program) = env::var_os("TENWORDS_PBS_CLIENT") else {
            println!("SKIPPED: TENWORDS_PBS_CLIENT names no real proxmox-backup-client");
            return None;
        };
        let place = Place::new();
        let client = Client::new(program, place.private.clone()).unwrap();
        println!("real client {}", version::client(&client).unwrap());
        let server = env::var("PBS_REPOSITORY").ok().map(|repository| Server {
            repository,
            token: env::var("PBS_PASSWORD").expect("PBS_REPOSITORY is set, so PBS_PASSWORD must be"),
            certificate: match env::var("PBS_FINGERPRINT") {
                Ok(pin) => Certificate::Pinned(pin.parse().unwrap()),
                Err(_) => Certificate::WebPki,
            },
        });
        if server.is_none() {
            println!("SKIPPED: PBS_REPOSITORY names no server for the half with data");
        }
        Some(Self { place, client, server })
    }

    fn access(&self, token: &str, certificate: Certificate, namespace: &str) -> Access {
        let repository = self.server.as_ref().unwrap().repository.parse().unwrap();
        Access::new(repository, namespace.parse().unwrap(), Zeroizing::new(token.to_owned()), certificate).unwrap()
    }

    fn good_access(&self) -> Access {
        let server = self.server.as_ref().unwrap();
        self.access(&server.token, server.certificate, "")
    }

    /// Runs the client as an administrator would, for what the driver has no command for.
    fn by_hand(&self, args: &[&str]) {
        let server = self.server.as_ref().unwrap();
        let mut command = Command::new(self.client.program());
        command.args(args).env("PBS_REPOSITORY", &server.repository).env("PBS_PASSWORD", &server.token);
        if let Certificate::Pinned(pin) = server.certificate {
            command.env("PBS_FINGERPRINT", pin.to_string());
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn pbs_local_and_keys() {
    keys(&Mount::on_pbs_local());
}

#[test]
fn pbs_local_and_keys_without_a_controlling_terminal() {
    rerun("conformance::pbs_local_and_keys", &["setsid", "--wait"], &[]);
}

#[test]
fn pbs_local_and_data() {
    data(&Mount::on_pbs_local());
}

#[test]
fn the_real_client_and_keys() {
    if let Some(mount) = Mount::on_the_real_client() {
        keys(&mount);
    }
}

#[test]
fn the_real_client_and_data() {
    if let Some(mount) = Mount::on_the_real_client().filter(|mount| mount.server.is_some()) {
        data(&mount);
    }
}

fn keys(mount: &Mount) {
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

fn data(mount: &Mount) {
    let client = &mount.client;
    let scratch = mount.place.scratch();
    let access = mount.good_access();
    let id = format!("tenwords-conformance-{}", std::process::id());
    let key = EncryptionKey::generate(&mut UnwrapErr(SysRng));
    let key_file = write(scratch, "K.enc", &KeyFile::plain(&key, 1_795_220_666, 1_795_220_666).to_json());
    let tree = make_tree(scratch);
    let conf = write(scratch, "box.conf", b"arch: amd64\n");
    let image = write(scratch, "disk.raw", &noise(5_000_000));
    mount.by_hand(&[
        "backup",
        &format!("root.pxar:{}", tree.display()),
        &format!("box.conf:{}", conf.display()),
        &format!("disk.img:{}", image.display()),
        "--keyfile",
        &key_file.display().to_string(),
        "--backup-id",
        &id,
    ]);

    // The probe, and who is there.
    assert!(status::probe(client, &access).unwrap().total > 0);
    println!("{:?}", version::both(client, &access).unwrap());

    // What there is.
    let group: Group = format!("host/{id}").parse().unwrap();
    let list = snapshot::list(client, &access, Some(&group)).unwrap();
    assert_eq!(list.len(), 1);
    let info = &list[0];
    assert_eq!((info.snapshot.group(), info.fingerprint), (&group, Some(key.fingerprint())));
    assert!(snapshot::list(client, &access, None).unwrap().contains(info));
    assert_eq!(snapshot::list(client, &access, Some(&format!("{group}-none").parse().unwrap())).unwrap(), []);
    assert!(snapshot::groups(client, &access).unwrap().iter().any(|found| found.group == group && found.count == 1));
    let snapshot = &info.snapshot;
    let files = snapshot::files(client, &access, snapshot).unwrap();
    let size = |name: &str| files.iter().find(|file| file.name.as_str() == name).unwrap().size.unwrap();
    assert!(files.iter().any(|file| file.crypt_mode == Some(ClaimedMode::Encrypt)));
    assert_eq!(size("disk.img.fidx"), 5_000_000);

    // What comes back.
    let pxar: FileName = "root.pxar.didx".parse().unwrap();
    let blob: FileName = "box.conf.blob".parse().unwrap();
    let disk: FileName = "disk.img.fidx".parse().unwrap();
    let request = |archive| Request { access: &access, snapshot, archive, key_file: &key_file, key: key.fingerprint() };
    let back = scratch.join("back");
    restore::tree(client, &request(&pxar), &back, &mut on).unwrap_or_else(|error| panic!("{}", all_words(&error)));
    assert_same_tree(&tree, &back);
    let out = scratch.join("out.conf");
    restore::file(client, &request(&blob), &out, &mut on).unwrap();
    assert_eq!(fs::read(&out).unwrap(), b"arch: amd64\n");
    let disk_out = scratch.join("out.raw");
    restore::file(client, &request(&disk), &disk_out, &mut on).unwrap();
    assert!(fs::read(&disk_out).unwrap() == fs::read(&image).unwrap());
    let mut stream = Vec::new();
    restore::stream(client, &request(&pxar), &mut stream, &mut on).unwrap();
    assert_eq!(stream.len() as u64, size("root.pxar.didx"));
    let manifest = restore::manifest(client, &access, snapshot, &key_file).unwrap();
    let manifest = Manifest::parse(&manifest).unwrap();
    assert_eq!(manifest.verify(&key).unwrap().snapshot(), snapshot);

    // What is in the way stays.
    let failure = |result: Result<_, DriverError>| match result {
        Err(DriverError::Client { failure, .. }) => failure,
        Err(error) => panic!("{}", all_words(&error)),
        Ok(_) => panic!("that should have failed"),
    };
    assert_eq!(failure(restore::tree(client, &request(&pxar), &back, &mut on)), Failure::TargetExists);
    assert_eq!(failure(restore::file(client, &request(&blob), &out, &mut on)), Failure::TargetExists);

    // No key, another key, a key under a passphrase, no file, a broken file.
    let ours = key.fingerprint().shortened();
    for archive in [&pxar, &blob, &disk, &"index.json.blob".parse().unwrap()] {
        assert_eq!(restore::without_key(client, &access, snapshot, archive).unwrap(), ours);
    }
    let other = write(scratch, "other.enc", &KEYS.plain);
    let wrong = Failure::WrongKey { asked: ours, given: KEYS.fingerprint.shortened() };
    let nowhere = scratch.join("nowhere");
    let with = |file: &Path, archive| {
        let request = Request { key_file: file, ..request(archive) };
        let tree = failure(restore::tree(client, &Request { archive: &pxar, ..request }, &nowhere, &mut on));
        assert!(!nowhere.exists());
        assert_eq!(failure(restore::file(client, &Request { archive: &blob, ..request }, &nowhere, &mut on)), tree);
        assert!(!nowhere.exists());
        tree
    };
    assert_eq!(with(&other, &pxar), wrong);
    match restore::manifest(client, &access, snapshot, &other) {
        Err(error) => assert_eq!(error.failure(), Some(&wrong)),
        Ok(_) => panic!("the manifest came under another key"),
    }
    assert_eq!(with(&write(scratch, "wrapped.enc", &KEYS.wrapped), &pxar), Failure::KeyProtected);
    assert!(matches!(with(&scratch.join("missing.enc"), &pxar), Failure::KeyFile { .. }));
    assert!(matches!(with(&write(scratch, "broken.enc", b"{\"kdf\":nu"), &pxar), Failure::KeyFile { .. }));

    // No such thing.
    let missing: SnapshotRef = format!("{group}/2020-01-01T00:00:00Z").parse().unwrap();
    let absent: FileName = "nope.pxar.didx".parse().unwrap();
    let gone = |what| Failure::NotFound { what };
    assert_eq!(failure(restore::tree(client, &request(&absent), &nowhere, &mut on)), gone(Thing::Archive));
    let request_missing = Request { snapshot: &missing, ..request(&pxar) };
    assert_eq!(failure(restore::tree(client, &request_missing, &nowhere, &mut on)), gone(Thing::Snapshot));
    assert_eq!(snapshot::files(client, &access, &missing).unwrap_err().failure(), Some(&gone(Thing::Snapshot)));
    let server = mount.server.as_ref().unwrap();
    let elsewhere = mount.access(&server.token, server.certificate, "no/such");
    assert_eq!(snapshot::list(client, &elsewhere, None).unwrap_err().failure(), Some(&gone(Thing::Namespace)));

    // Not us, not them.
    let not_us = mount.access("00000000-0000-0000-0000-000000000000", server.certificate, "");
    let refused = Failure::NotAuthorised { why: Refusal::WrongSecret };
    assert_eq!(status::probe(client, &not_us).unwrap_err().failure(), Some(&refused));
    assert_eq!(version::both(client, &not_us).unwrap().server, Err(refused.clone()));
    let request_not_us = Request { access: &not_us, ..request(&pxar) };
    assert_eq!(failure(restore::tree(client, &request_not_us, &nowhere, &mut on)), refused);
    if let Certificate::Pinned(_) = server.certificate {
        let pin = Fingerprint::from_bytes([0xbb; 32]);
        let not_them = mount.access(&server.token, Certificate::Pinned(pin), "");
        let named =
            |failure: &Failure| matches!(failure, Failure::Certificate { expected, .. } if *expected == Some(pin));
        assert!(status::probe(client, &not_them).unwrap_err().failure().is_some_and(named));
        assert!(version::both(client, &not_them).unwrap().server.is_err_and(|failure| named(&failure)));
        let request_not_them = Request { access: &not_them, ..request(&pxar) };
        assert!(named(&failure(restore::tree(client, &request_not_them, &nowhere, &mut on))));
    }

    // Plaintext: the client restores it, key or not; we do not.
    mount.by_hand(&[
        "backup",
        &format!("box.conf:{}", conf.display()),
        "--backup-id",
        &format!("{id}-plain"),
        "--crypt-mode",
        "none",
    ]);
    let plain: Group = format!("host/{id}-plain").parse().unwrap();
    let plain = snapshot::list(client, &access, Some(&plain)).unwrap().remove(0);
    assert_eq!(plain.fingerprint, None);
    let request_plain = Request { snapshot: &plain.snapshot, ..request(&blob) };
    let result = restore::file(client, &request_plain, &nowhere, &mut on);
    assert!(matches!(result, Err(DriverError::NotUnderOurKey { .. })), "{result:?}");
    assert!(!nowhere.exists());
    let result = restore::without_key(client, &access, &plain.snapshot, &blob);
    assert!(matches!(result, Err(DriverError::NotRefused)), "{result:?}");

    mount.place.assert_clean();
}

fn on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn write(scratch: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Bytes that do not compress, from nothing.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn make_tree(scratch: &Path) -> PathBuf {
    let tree = scratch.join("tree");
    fs::create_dir_all(tree.join("sub/deep")).unwrap();
    fs::write(tree.join("hello.txt"), b"hello world\n").unwrap();
    fs::write(tree.join("sub/deep/árvíztűrő név.txt"), b"x").unwrap();
    fs::write(tree.join("sub/noise"), noise(3_000_000)).unwrap();
    fs::write(tree.join("zero"), b"").unwrap();
    fs::hard_link(tree.join("hello.txt"), tree.join("hard")).unwrap();
    symlink("hello.txt", tree.join("link")).unwrap();
    fs::set_permissions(tree.join("hello.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(tree.join("sub"), fs::Permissions::from_mode(0o711)).unwrap();
    tree
}

fn assert_same_tree(one: &Path, other: &Path) {
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(one), names(other), "{}", one.display());
    for name in names(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        let (left, right) = (fs::symlink_metadata(&one).unwrap(), fs::symlink_metadata(&other).unwrap());
        assert_eq!(left.file_type(), right.file_type(), "{name:?}");
        assert_eq!(left.permissions(), right.permissions(), "{name:?}");
        assert_eq!(left.modified().unwrap(), right.modified().unwrap(), "{name:?}");
        if left.is_dir() {
            assert_same_tree(&one, &other);
        } else if left.is_symlink() {
            assert_eq!(fs::read_link(&one).unwrap(), fs::read_link(&other).unwrap());
        } else {
            assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap(), "{name:?}");
        }
    }
}

/// Beside this test's own program; built if it is not there yet.
static PBS_LOCAL: LazyLock<PathBuf> = LazyLock::new(|| {
    let this = env::current_exe().unwrap();
    let program = this.parent().unwrap().parent().unwrap().join("pbs-local");
    if !program.exists() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = program.parent().unwrap().parent().unwrap();
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "pbs-local", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success() && program.exists(), "pbs-local could not be built into {}", target.display());
    }
    program
});
