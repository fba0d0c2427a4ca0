//! The operator's own list of the keys that boxes believe, with its generation.
//!
//! It begins with the file that was put on the boxes and goes on with statements that a recovery key
//! of the list before has signed. What a box or a hub says of its list is compared with this one and
//! never changes it.

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tenwords_protocol::{
    hash::Sha256,
    operators::{OperatorList, Role, Signer},
    v1::V1,
};

use crate::{failure::Failure, own::Record};

/// A list and which it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operators {
    pub(crate) generation: NonZeroU64,
    pub(crate) list: OperatorList,
}

/// As it lies in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    v: V1,
    pub(crate) generation: NonZeroU64,
    pub(crate) signers: OperatorList,
}

const FILE: &str = "operators.json";
const OPERATORS: Record = Record {
    name: "your own list of operator keys",
    codes: ["operators", "operators_mode"],
    remedies: [
        "nothing was changed; put a copy back, or move it away: tenwords pins init FILE",
        "check each key in it, then chmod 600 it",
    ],
    largest: 1 << 20,
};

impl Operators {
    /// The own list; none if none was begun.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        read(&folder.join(FILE))
    }

    /// The own list of that hash: the one that stands, or a former one that was kept.
    pub(crate) fn of_hash(folder: &Path, generation: NonZeroU64, hash: Sha256) -> Result<Option<Self>, Failure> {
        let is_it = |list: &Self| list.generation == generation && list.list.hash() == hash;
        match Self::read(folder)?.filter(is_it) {
            Some(own) => Ok(Some(own)),
            None => Ok(read(&former(folder, generation))?.filter(is_it)),
        }
    }

    /// Puts this list in the own one's place, once it is on disk; the former is kept beside it.
    pub(crate) fn keep(&self, folder: &Path) -> Result<(), Failure> {
        OPERATORS.folder(folder)?;
        if let Some(own) = Self::read(folder)?.filter(|own| own != self) {
            own.write(folder, &former(folder, own.generation))?;
        }
        self.write(folder, &folder.join(FILE))
    }

    fn write(&self, folder: &Path, path: &Path) -> Result<(), Failure> {
        let written = Written { v: V1, generation: self.generation, signers: self.list.clone() };
        OPERATORS.write(folder, path, &written)
    }

    /// The signer with this key.
    pub(crate) fn signer(&self, key: &[u8]) -> Option<&Signer> {
        self.list.signers().iter().find(|signer| signer.key() == key)
    }

    /// Whether this key has that role here.
    pub(crate) fn has_role(&self, key: &[u8], role: Role) -> bool {
        self.signer(key).is_some_and(|signer| signer.roles().contains(&role))
    }
}

fn former(folder: &Path, generation: NonZeroU64) -> PathBuf {
    folder.join(format!("operators-{generation}.json"))
}

fn read(path: &Path) -> Result<Option<Operators>, Failure> {
    let written = OPERATORS.read::<Written>(path)?;
    Ok(written.map(|written| Operators { generation: written.generation, list: written.signers }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use super::*;

    fn list(generation: u64, lines: &[&str]) -> Operators {
        let signers = lines.iter().map(|line| line.parse().unwrap()).collect();
        let list = OperatorList::new(signers).unwrap();
        Operators { generation: NonZeroU64::new(generation).unwrap(), list }
    }

    #[test]
    fn a_former_list_is_kept_and_found_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("state");
        assert_eq!(Operators::read(&home).unwrap(), None);
        let first = list(1, &["operational ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"]);
        let second = list(2, &["recovery ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"]);
        first.keep(&home).unwrap();
        second.keep(&home).unwrap();
        assert_eq!(Operators::read(&home).unwrap(), Some(second.clone()));
        for one in [&first, &second] {
            assert_eq!(Operators::of_hash(&home, one.generation, one.list.hash()).unwrap().as_ref(), Some(one));
        }
        assert_eq!(Operators::of_hash(&home, first.generation, second.list.hash()).unwrap(), None);
    }

    #[test]
    fn a_damaged_list_or_one_that_others_can_write_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let good = r#"{"v":1,"generation":1,"signers":[]}"#;
        for (text, mode, taken) in [
            (good, 0o600, true),
            (good, 0o644, true),
            (good, 0o664, false),
            (good, 0o602, false),
            (r#"{"v":1,"generation":0,"signers":[]}"#, 0o600, false),
            (r#"{"v":1,"generation":1,"signers":["x"]}"#, 0o600, false),
            (r#"{"v":1,"generation":1,"signers":[],"more":1}"#, 0o600, false),
            ("", 0o600, false),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(Operators::read(folder.path()).is_ok(), taken, "{text} {mode:o}");
            assert_eq!(list(2, &[]).keep(folder.path()).is_ok(), taken, "{text} {mode:o}");
            if !taken {
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
        }
    }
}
