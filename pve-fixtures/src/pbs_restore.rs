//! `pbs-restore`: one disk out of a datastore's folder, in the words of pve-qemu's program and of the
//! library that it stands on.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
    time::Instant,
};

use pbs_format::{
    blob::BlobError,
    datastore::{Datastore, FileKind, FileName, Namespace, Snapshot, SnapshotRef},
    key::{EncryptionKey, KeyFile},
    manifest::{Manifest, ManifestError},
};

use crate::{
    Died,
    arguments::{Own, Takes, read},
    worker::Output,
};

const OPTIONS: &[(&str, Takes)] = &[
    ("format", Takes::Word),
    ("keyfile", Takes::Word),
    ("ns", Takes::Word),
    ("repository", Takes::Word),
    ("skip-zero", Takes::Flag),
    ("verbose", Takes::Flag),
];

pub(crate) fn run(own: &Own) -> Result<(), Died> {
    let given = read(&own.rest, OPTIONS)?;
    let [snapshot, archive, target] = given.positionals().map_err(|_| "missing arguments".to_owned())?;
    let repository = given.get("repository").ok_or("no repository specified")?;
    let tell = |text: &str| {
        if given.flag("verbose") {
            Output::tell_error(&format!("{text}\n"));
        }
    };
    tell(&format!("connecting to repository '{repository}'"));
    let failed = |why: String| format!("restore failed: {why}");
    if env::var_os("PBS_PASSWORD").is_none() {
        return Err(failed("password must not be NULL".into()));
    }
    let namespace: Namespace = given.get("ns").unwrap_or("").parse().map_err(|error| failed(format!("{error}")))?;
    let reference: SnapshotRef = snapshot.parse().map_err(|error| failed(format!("{error}")))?;
    let key = given.get("keyfile").map(|path| open_key(Path::new(path))).transpose().map_err(failed)?;
    Output::tell_error("using up to 4 threads\n");

    let lost = |why: String| format!("restore failed (connection error): {why}");
    let stores = own.datastores.as_deref().ok_or("fixture: --datastores is missing")?;
    let store = repository.rsplit(':').next().unwrap_or(repository);
    let store = Datastore::open(&stores.join(store)).map_err(|_| lost(format!("no such datastore '{store}'")))?;
    let found = store.snapshot(&namespace, &reference);
    let found = found.map_err(|_| lost(format!("snapshot {reference} does not exist.")))?;
    let manifest = found.manifest().map_err(|error| lost(error.to_string()))?;
    manifest.check(key.as_ref()).map_err(|error| lost(manifest_words(error)))?;

    tell(&format!("open block backend for target '{target}'"));
    let format = given.get("format").unwrap_or("raw");
    if format != "raw" {
        return Err(format!("Unknown driver '{format}'"));
    }
    let disk = File::options().write(true).open(target);
    let disk = disk.map_err(|error| format!("Could not open '{target}': {}", words(&error)))?;
    tell(&format!("starting to restore snapshot '{snapshot}'"));
    copy(&found, &manifest, archive, key.as_ref(), &disk, given.flag("skip-zero"), &tell).map_err(failed)
}

fn copy(
    snapshot: &Snapshot<'_>,
    manifest: &Manifest,
    archive: &str,
    key: Option<&EncryptionKey>,
    disk: &File,
    skip_zero: bool,
    tell: &impl Fn(&str),
) -> Result<(), Died> {
    tell("download and verify backup index");
    let name: FileName = archive.parse().map_err(|error| format!("{error}"))?;
    let entry = manifest.file(name.as_str()).filter(|_| name.kind() == FileKind::Fixed);
    let entry = entry.ok_or_else(|| format!("manifest does not contain file '{archive}'"))?;
    let reader = snapshot.archive(entry, key).map_err(|error| error.to_string())?;
    Output::tell_error("fetching up to 16 chunks in parallel\n");
    let index = reader.index();
    let began = Instant::now();
    let (mut bytes, mut zeroes, mut percent) = (0_u64, 0_u64, 0);
    for (span, count) in index.chunks().zip(1_u64..) {
        let content = reader.chunk(&span).map_err(|error| error.to_string())?;
        let length = content.len() as u64;
        let is_zero = content.iter().all(|byte| *byte == 0);
        if !(is_zero && skip_zero && span.start > 0)
            && let Err(error) = disk.write_all_at(&content, span.start)
        {
            let (number, why) = (error.raw_os_error().unwrap_or(5), words(&error));
            Output::tell_error(&format!(
                "blk_pwrite failed at offset {} length {length} (-{number}) - {why}\n",
                span.start
            ));
            return Err(format!("write_data_callback failed (-{number})"));
        }
        bytes += length;
        zeroes += if is_zero { length } else { 0 };
        let next = count * 100 / index.count().max(1) as u64;
        if next != percent {
            percent = next;
            tell(&format!(
                "progress {next}% (read {bytes} bytes, zeroes = {}% ({zeroes} bytes), duration {} sec)",
                zeroes * 100 / bytes.max(1),
                began.elapsed().as_secs()
            ));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let speed = bytes as f64 / (1024.0 * 1024.0 * seconds.max(0.000_001));
    Output::tell_error(&format!(
        "restore image complete (bytes={bytes}, duration={seconds:.2}s, speed={speed:.2}MB/s)\n"
    ));
    Ok(())
}

fn open_key(path: &Path) -> Result<EncryptionKey, Died> {
    let text = fs::read(path).map_err(|error| format!("failed to load encryption key from {path:?}: {error}"))?;
    let file =
        KeyFile::parse(&text).map_err(|error| format!("failed to load encryption key from {path:?}: {error}"))?;
    file.open(None).map_err(|_| "no key_password specified".to_owned())
}

fn manifest_words(error: ManifestError) -> String {
    match error {
        ManifestError::MissingKey { stated } => {
            format!("missing key - manifest was created with key {}", stated.short())
        }
        ManifestError::WrongKey { stated, given, .. } => {
            format!("wrong key - manifest's key {} does not match provided key {}", stated.short(), given.short())
        }
        ManifestError::WrongSignature => "wrong signature in manifest".to_owned(),
        ManifestError::Blob(BlobError::WrongChecksum) => "Data blob has wrong CRC checksum.".to_owned(),
        other => format!("unable to parse manifest - {other}"),
    }
}

/// The system's words without Rust's number behind them.
fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
