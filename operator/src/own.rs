//! The operator's own records: files that this program believes over whatever a hub or a box says. So they are
//! refused if anybody else could have written them, and a record that cannot be read is left as it is.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use nix::unistd::geteuid;
use serde::{Serialize, de::DeserializeOwned};
use tenwords_protocol::json;

use crate::failure::Failure;

/// One of them, for a person.
pub(crate) struct Record {
    /// What it is.
    pub(crate) name: &'static str,
    /// A failure's code, if it cannot be used; and if others can write it.
    pub(crate) codes: [&'static str; 2],
    /// What is to be done then.
    pub(crate) remedies: [&'static str; 2],
    /// Bytes that it has at most.
    pub(crate) largest: u64,
}

impl Record {
    /// None if none was written yet.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, Failure> {
        let failed = |error: io::Error| self.failed(path, &error);
        let facts = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            facts => facts.map_err(failed)?,
        };
        if facts.mode() & 0o022 != 0 || (facts.uid() != geteuid().as_raw() && facts.uid() != 0) {
            let what = format!("{}, {}, can be written by others", self.name, path.display());
            return Err(Failure::usage(self.codes[1], what, self.remedies[1]));
        }
        if facts.len() > self.largest {
            return Err(self.unusable(path, &format!("it is larger than {} MiB", self.largest >> 20)));
        }
        let text = fs::read(path).map_err(failed)?;
        json::from_slice(&text).map(Some).map_err(|error| self.unusable(path, &error.to_string()))
    }

    /// The whole file beside the old one, then in its place: a reader sees the one or the other. It is on disk
    /// when this returns.
    pub(crate) fn write(&self, folder: &Path, path: &Path, record: &impl Serialize) -> Result<(), Failure> {
        let failed = |error: io::Error| self.failed(path, &error);
        let mut text = serde_json::to_vec_pretty(record).map_err(|error| Failure::internal(error.to_string()))?;
        text.push(b'\n');
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(".own").permissions(Permissions::from_mode(0o600));
        let mut file = builder.tempfile_in(folder).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Makes the folder for them.
    pub(crate) fn folder(&self, folder: &Path) -> Result<(), Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| self.failed(folder, &error))
    }

    pub(crate) fn failed(&self, path: &Path, error: &io::Error) -> Failure {
        self.unusable(path, &error.kind().to_string())
    }

    pub(crate) fn unusable(&self, path: &Path, why: &str) -> Failure {
        let what = format!("{}, {}, cannot be used: {why}", self.name, path.display());
        Failure::usage(self.codes[0], what, self.remedies[0])
    }
}
