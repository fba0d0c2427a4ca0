//! The root's small files, kept beside what is restored: a person compares them with what is there.

use std::{io, path::Path};

use tenwords_escrow::root::FileSecret;
use zeroize::Zeroizing;

use super::LIMIT;
use crate::{
    durable,
    exit::{Code, OrStop as _, Outcome},
    recover::report::RecoveredFile,
};

/// Keeps the root's small files beside what is restored.
pub(crate) fn keep_files(files: &[FileSecret], folder: &Path) -> Outcome<Vec<RecoveredFile>> {
    let mut kept = Vec::new();
    for file in files {
        let path = file.path.as_str();
        let kept_at = folder.join(path.trim_start_matches('/'));
        let cannot = || format!("cannot keep {}", kept_at.display());
        if let Some(parent) = kept_at.parent() {
            durable::folder(parent, 0o700).or_stop(Code::Internal, cannot)?;
        }
        durable::replace("recovered-file", &kept_at, 0o600, file.data.expose_bytes())
            .or_stop(Code::Internal, cannot)?;
        let on_this_machine = match durable::read_limited(Path::new(path), LIMIT).map(Zeroizing::new) {
            Ok(bytes) if *bytes == *file.data.expose_bytes() => "the same on this machine",
            Ok(_) => "differs on this machine",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "missing on this machine",
            Err(_) => "cannot be compared on this machine",
        };
        kept.push(RecoveredFile { path: path.to_owned(), kept_at, on_this_machine });
    }
    Ok(kept)
}
