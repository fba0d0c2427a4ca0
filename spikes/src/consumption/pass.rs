//! One run through the phases.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    time::Instant,
};

use anyhow::{Context as _, Result};
use pbs_driver::{
    Access, Certificate, Client, DriverError, Failure, PrivateDir, key,
    restore::{self, Request},
    snapshot, status, version,
};
use pbs_format::{
    datastore::SnapshotRef,
    key::{EncryptionKey, KeyFile, KeyFileError},
    manifest::{CryptMode, Manifest},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenwords_escrow::{
    code::RecoveryCode,
    door::{self, KeyPart},
};
use zeroize::Zeroizing;

use super::Examined;
use crate::{
    search::Search,
    story::holds,
    tree::{self, Tree},
    world::{BackupServer, World, write_private},
};

/// What one run has shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pass {
    /// Whether a controlling terminal was there.
    pub terminal: bool,
    /// The phases in their order.
    pub phases: Vec<Phase>,
}

/// One phase.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Phase {
    /// C0 to C4, or what follows them.
    pub name: String,
    /// What it shows, in words.
    pub title: String,
    /// The facts.
    pub evidence: Vec<Evidence>,
    /// How long it took.
    pub milliseconds: u64,
}

/// A fact and what was seen of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Evidence {
    /// The fact.
    pub fact: String,
    /// What was seen.
    pub seen: String,
}

struct Scene {
    world: World,
    server: BackupServer,
    client: Client,
    access: Access,
    snapshot: SnapshotRef,
    data: Tree,
    live: EncryptionKey,
    code: RecoveryCode,
    before: String,
}

struct Notes(Vec<Evidence>);

/// Runs through all phases once. Any fact that does not hold ends it.
///
/// # Errors
/// The phase, and what did not hold.
pub fn pass(examined: &Examined) -> Result<Pass> {
    let mut phases = Vec::new();
    let mut scene =
        phase(&mut phases, "preparation", "A key, a token, real data, a backup", |notes| prepare(notes, examined))?;
    phase(&mut phases, "C0", "What this machine, client and server are", |notes| environment(notes, &scene, examined))?;
    let part = phase(&mut phases, "C1", "An escrow is made, and K is not touched", |notes| create(notes, &scene))?;
    phase(&mut phases, "C2", "Without K the backup is noise", |notes| keyless(notes, &scene))?;
    phase(&mut phases, "C3", "The words bring K back, and K brings the data back", |notes| {
        recover(notes, &scene, &part)
    })?;
    phase(&mut phases, "C4", "A wrong code yields nothing", |notes| wrong_code(notes, &scene, &part))?;
    phase(&mut phases, "end", "Nothing is left", |notes| clean_up(notes, &mut scene))?;
    Ok(Pass { terminal: has_terminal(), phases })
}

fn prepare(notes: &mut Notes, examined: &Examined) -> Result<Scene> {
    let world = World::new(&examined.base)?;
    let server = match &examined.real {
        Some(real) => BackupServer::real(&world, real)?,
        None => BackupServer::local(&world)?,
    };
    let live_path = world.folder().join("K.enc");
    let made = live_path.display().to_string();
    server.run(&["key", "create", "--kdf", "none", &made])?.with_code(0)?;
    let live = KeyFile::parse(&Zeroizing::new(fs::read(&live_path)?))?.open(None)?;
    let container = world.folder().join("container");
    let made = tree::make(&container, examined.bytes)?;
    let data = Tree::read(&container)?;
    notes.add(
        "real files of this machine, and one of everything",
        format!("{} files, {} MiB; {}", made.copied, made.bytes >> 20, data.census()),
    );
    let private = PrivateDir::open_or_create(world.private().join("run"))?;
    let client = Client::new(&server.client, private)?;
    let namespace = server.namespace.as_deref().unwrap_or_default().parse().context("the namespace")?;
    let pin = server.certificate.parse().context("the certificate's fingerprint")?;
    let secret = Zeroizing::new(server.expose_secret().to_owned());
    let access = Access::new(server.repository.parse()?, namespace, secret, Certificate::Pinned(pin))?;
    // On a real server, what lies there before the backup; on the stand-in, its folder after it.
    let listed = listing(&client, &access)?;
    let spec = format!("root.pxar:{}", container.display());
    let snapshot: SnapshotRef = server.back_up(&[spec], GROUP, &live_path)?.parse()?;
    notes.add("backed up by the client, encrypted under K", snapshot.group().to_string());
    let before = match &server.folder {
        Some(folder) => Tree::read(folder)?.digest(),
        None => listed,
    };
    let code = RecoveryCode::draw(&mut UnwrapErr(SysRng));
    Ok(Scene { world, server, client, access, snapshot, data, live, code, before })
}

fn environment(notes: &mut Notes, scene: &Scene, examined: &Examined) -> Result<()> {
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    notes.add("system", format!("{name}, Linux {}", kernel.trim()));
    notes.add("user", if nix::unistd::geteuid().is_root() { "root" } else { "not root" });
    notes.add("controlling terminal", if has_terminal() { "yes" } else { "none" });
    let versions = version::both(&scene.client, &scene.access)?;
    let stands_in = if examined.real.is_some() { "" } else { " (pbs-local stands in for it)" };
    notes.add("proxmox-backup-client", format!("{}{stands_in}", versions.client));
    notes.add("server", versions.server.map_or_else(|failure| failure.to_string(), |version| version.to_string()));
    let status = status::probe(&scene.client, &scene.access)?;
    notes.add("the server answers, the token is taken", format!("{} MiB free", status.avail >> 20));
    notes.add("private folder", "on a tmpfs, 0700");
    Ok(())
}

fn create(notes: &mut Notes, scene: &Scene) -> Result<KeyPart> {
    let live_path = scene.world.folder().join("K.enc");
    let bytes = Zeroizing::new(fs::read(&live_path)?);
    let (before, inode) = (Sha256::digest(&*bytes), inode(&live_path)?);
    let wrapped = key::wrapped(&scene.client, &bytes, scene.code.expose_passphrase())?;
    notes.add("a copy of K is re-keyed to scrypt under the code, over a pty", format!("{} bytes", wrapped.len()));
    holds(Sha256::digest(fs::read(&live_path)?) == before, "K has the content that it had")?;
    holds(self::inode(&live_path)? == inode, "K is the very file that it was")?;
    notes.add("K is untouched", "content, inode and mode are the same");
    let part = door::check_key_part(&wrapped)?;
    notes.add("the result passes the one door", "scrypt, r = 8, p = 1, N in bounds, a fingerprint, no hint");
    holds(part.fingerprint() == scene.live.fingerprint(), "it names the live key")?;
    let natively = part.open(&scene.code)?;
    holds(same(&natively, &scene.live), "our own reading opens it to the live key")?;
    notes.add("opened by our own reading", "the live key");
    let copy = key::unwrapped(&scene.client, &wrapped, scene.code.expose_passphrase())?;
    holds(same(&KeyFile::parse(&copy)?.open(None)?, &scene.live), "the client opens it to the live key")?;
    notes.add("opened by the client", "the live key");
    nothing_in_private(scene)?;
    notes.add("the private folder afterwards", "empty");
    Ok(part)
}

fn keyless(notes: &mut Notes, scene: &Scene) -> Result<()> {
    let archive = "root.pxar.didx".parse()?;
    let asked = restore::without_key(&scene.client, &scene.access, &scene.snapshot, &archive)?;
    holds(asked == scene.live.fingerprint().shortened(), "the client misses exactly this key")?;
    notes.add("a restore without a key", "refused: missing key, named by its fingerprint; not a byte came out");
    let listed = snapshot::list(&scene.client, &scene.access, Some(scene.snapshot.group()))?;
    let named = listed.iter().find(|info| info.snapshot == scene.snapshot).and_then(|info| info.fingerprint);
    holds(named == Some(scene.live.fingerprint()), "the list names the key that is needed")?;
    notes.add("which key is needed can be read without one", "the list of snapshots names its fingerprint");
    Ok(())
}

fn recover(notes: &mut Notes, scene: &Scene, part: &KeyPart) -> Result<()> {
    let opened = key::unwrapped(&scene.client, part.bytes(), scene.code.expose_passphrase())?;
    let recovered = KeyFile::parse(&opened)?.open(None)?;
    holds(same(&recovered, &scene.live), "what the client opened is K")?;
    holds(same(&part.open(&scene.code)?, &scene.live), "what our own reading opened is K")?;
    notes.add("K out of the escrow, by two ways", "equal, and equal to the live key");
    let folder = scene.client.private().folder()?;
    let key_file = folder.write("recovered.enc", &opened)?;
    let manifest = restore::manifest(&scene.client, &scene.access, &scene.snapshot, &key_file)?;
    let manifest = Manifest::parse(&manifest)?.verify(&recovered)?;
    holds(*manifest.snapshot() == scene.snapshot, "the list of files is that of the snapshot")?;
    holds(manifest.files().iter().all(|file| file.crypt_mode == CryptMode::Encrypt), "every file is encrypted")?;
    notes.add("the list of files, natively", "signed under K, of this snapshot, every file encrypted");
    let target = scene.world.folder().join("restored");
    let signed = manifest.file("root.pxar.didx").context("the list of files names no root.pxar.didx")?;
    let request = Request {
        access: &scene.access,
        snapshot: &scene.snapshot,
        signed,
        protection: restore::Protection::Under { key_file: &key_file, key: recovered.fingerprint() },
    };
    restore::tree(&scene.client, &request, &target, &mut |_| std::ops::ControlFlow::Continue(()))?;
    folder.close()?;
    let found = Tree::read(&target)?;
    let differences = tree::differences(&scene.data, &found);
    let shown: Vec<String> = differences.iter().take(10).map(|difference| format!("\n  {difference}")).collect();
    holds(differences.is_empty(), format!("the data is the same:{}", shown.concat()))?;
    notes.add(
        "a restore by the client under the recovered key",
        format!("{} entries, each the same as before", found.len()),
    );
    nothing_in_private(scene)
}

fn wrong_code(notes: &mut Notes, scene: &Scene, part: &KeyPart) -> Result<()> {
    let wrong = RecoveryCode::draw(&mut UnwrapErr(SysRng));
    match key::unwrapped(&scene.client, part.bytes(), wrong.expose_passphrase()) {
        Err(DriverError::Client { failure: Failure::WrongPassphrase, .. }) => {}
        Err(other) => return Err(other).context("the client refused a wrong code, but not for that"),
        Ok(_) => holds(false, "the client refuses a wrong code")?,
    }
    notes.add("the client, given ten other words", "refused: the passphrase does not open the key file");
    match part.open(&wrong) {
        Err(KeyFileError::WrongPassphrase) => {}
        Err(other) => return Err(other).context("our own reading refused a wrong code, but not for that"),
        Ok(_) => holds(false, "our own reading refuses a wrong code")?,
    }
    notes.add("our own reading, given ten other words", "refused alike");
    holds(same(&part.open(&scene.code)?, &scene.live), "the part is as it was")?;
    nothing_in_private(scene)?;
    notes.add("what is left of the attempt", "nothing: no file, the part unchanged");
    Ok(())
}

fn clean_up(notes: &mut Notes, scene: &mut Scene) -> Result<()> {
    let after = match &scene.server.folder {
        Some(folder) => Tree::read(folder)?.digest(),
        None => {
            scene.server.run(&["snapshot", "forget", &scene.snapshot.to_string()])?.with_code(0)?;
            listing(&scene.client, &scene.access)?
        }
    };
    holds(after == scene.before, "the datastore is as it was found")?;
    notes.add(
        "the datastore",
        match scene.server.folder {
            Some(_) => "as it was found, by one hash over all of it",
            None => "as it was found, by its list of snapshots",
        },
    );
    let live_path = scene.world.folder().join("K.enc");
    shred(&live_path)?;
    notes.add("K", "overwritten and removed");
    let key = scene.live.expose_bytes();
    let mut search = Search::new()
        .for_words(scene.code.expose_passphrase())
        .for_bytes("the key", key.as_slice())
        .for_bytes("the token", scene.server.expose_secret().as_bytes());
    search.files(scene.world.folder())?;
    search.files(scene.world.private())?;
    let findings = search.findings();
    holds(findings.is_empty(), format!("nothing is found, and not {findings:?}"))?;
    let looked = search.looked_at();
    notes.add(
        "searched for the words, the key and the token in every form",
        format!("{} places, {} MiB: nothing", looked.places, looked.bytes >> 20),
    );
    // The search finds what is there.
    let planted = scene.world.folder().join("planted");
    write_private(&planted, hex::encode(key).as_bytes())?;
    search.files(&planted)?;
    holds(!search.findings().is_empty(), "a planted key is found")?;
    shred(&planted)?;
    notes.add("a key that was planted for the purpose", "found");
    Ok(())
}

fn phase<T>(phases: &mut Vec<Phase>, name: &str, title: &str, act: impl FnOnce(&mut Notes) -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let mut notes = Notes(Vec::new());
    let result = act(&mut notes).with_context(|| format!("{name}: {title}"))?;
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    phases.push(Phase { name: name.into(), title: title.into(), evidence: notes.0, milliseconds });
    Ok(result)
}

impl Notes {
    fn add(&mut self, fact: &str, seen: impl Into<String>) {
        self.0.push(Evidence { fact: fact.into(), seen: seen.into() });
    }
}

/// Whether this process has a controlling terminal.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

fn same(one: &EncryptionKey, other: &EncryptionKey) -> bool {
    one.fingerprint() == other.fingerprint()
}

fn inode(path: &Path) -> Result<(u64, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::metadata(path)?;
    Ok((found.ino(), found.mode()))
}

fn nothing_in_private(scene: &Scene) -> Result<()> {
    let left = fs::read_dir(scene.client.private().path())?.count();
    holds(left == 0, format!("the private folder is empty, and does not have {left} entries"))
}

/// Every snapshot that the token may see, as one text.
fn listing(client: &Client, access: &Access) -> Result<String> {
    let mut names: Vec<String> =
        snapshot::list(client, access, None)?.iter().map(|info| info.snapshot.to_string()).collect();
    names.sort_unstable();
    Ok(names.join("\n"))
}

/// Overwrites a file's bytes where they lie, and removes it. (What a journalling or copying file
/// system keeps elsewhere cannot be promised.)
fn shred(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    fs::remove_file(path)
}

/// The group that is backed up and, on a real server, forgotten again.
const GROUP: &str = "host/tenwords-consumption";
