//! The root's small files, kept beside what is restored: a person compares them with what is there.

use std::{io, path::Path};

use tenwords_escrow::root::FileSecret;
use zeroize::Zeroizing;

use super::LIMIT;
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    recover::report::{Missing, RecoveredFile},
};

/// Keeps the root's small files beside what is restored. One that cannot be kept does not stop the
/// recovery; it is missing.
pub(crate) fn keep_files(files: &[FileSecret], folder: &Path) -> (Vec<RecoveredFile>, Vec<Missing>) {
    let (mut kept, mut missing) = (Vec::new(), Vec::new());
    for file in files {
        match keep(file, folder) {
            Ok(file) => kept.push(file),
            Err(stop) => missing.push(Missing {
                what: format!("the small file {}", file.path.as_str()),
                why: stop.in_one_line(),
                remedy: format!(
                    "make room and way at {}, then run the same command again; it is in the escrow",
                    folder.display()
                ),
                waits_for_order: false,
            }),
        }
    }
    (kept, missing)
}

fn keep(file: &FileSecret, folder: &Path) -> Outcome<RecoveredFile> {
    let path = file.path.as_str();
    let kept_at = folder.join(path.trim_start_matches('/'));
    let cannot = || format!("cannot keep {}", kept_at.display());
    if let Some(parent) = kept_at.parent() {
        durable::folder(parent, 0o700).or_stop(Code::Internal, cannot)?;
    }
    durable::replace("recovered-file", &kept_at, 0o600, file.data.expose_bytes()).or_stop(Code::Internal, cannot)?;
    let on_this_machine = match durable::read_limited(Path::new(path), LIMIT).map(Zeroizing::new) {
        Ok(bytes) if *bytes == *file.data.expose_bytes() => "the same on this machine",
        Ok(_) => "differs on this machine",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "missing on this machine",
        Err(_) => "cannot be compared on this machine",
    };
    Ok(RecoveredFile { path: path.to_owned(), kept_at, on_this_machine })
}

#[cfg(test)]
mod tests {
    use tenwords_escrow::{root::FileMode, secret::FileBytes};

    use super::*;

    #[test]
    fn a_file_that_cannot_be_kept_is_missing_and_stops_nothing() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = |path: &str| -> Result<FileSecret, Box<dyn std::error::Error>> {
            let data = FileBytes::new(Zeroizing::new(b"x".to_vec()));
            Ok(FileSecret { path: path.parse()?, mode: FileMode::new(0o644)?, data })
        };
        // The first is a file where the second needs a folder.
        let files = [file("/tenwords-a")?, file("/tenwords-a/b")?, file("/tenwords-c")?];
        let (kept, missing) = keep_files(&files, folder.path());
        assert_eq!(kept.iter().map(|file| &*file.path).collect::<Vec<_>>(), ["/tenwords-a", "/tenwords-c"]);
        assert!(matches!(&*missing, [one] if one.what.contains("/tenwords-a/b")));
        Ok(())
    }
}
