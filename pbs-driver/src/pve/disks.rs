//! Which volumes a guest has on a storage, and how large each is: asked of PVE, which asks the storage.

use super::{error::PveError, node::Node, pvesm, storage::StorageId};
use crate::{private::PrivateDir, scrub::scrub};

/// A line of `pvesm list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// `local-lvm:vm-101-disk-0`
    pub id: String,
    /// 0 where the storage does not say (a folder of files, for a container).
    pub bytes: u64,
}

/// The volumes of this guest on this storage.
///
/// # Errors
/// As [`Node::readable`]; [`PveError::NoProgram`], [`PveError::Program`], [`PveError::Refused`].
pub fn volumes(node: &Node, private: &PrivateDir, storage: &StorageId, vmid: u32) -> Result<Vec<Volume>, PveError> {
    let args = ["list", storage.as_str(), "--vmid", &vmid.to_string()].map(Into::into).into();
    let text = pvesm::ask(node, private, args, COMMAND)?;
    Ok(text.lines().skip(1).take(MAX).filter_map(|line| row(line, vmid)).collect())
}

/// `Volid Format Type Size VMID`, with blanks between; a line of another shape is none of the guest's.
fn row(line: &str, vmid: u32) -> Option<Volume> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [id, _format, _content, bytes, number] = words[..] else { return None };
    let bytes = bytes.parse().ok()?;
    (number == vmid.to_string()).then(|| Volume { id: scrub(id.as_bytes(), &[]), bytes })
}

const COMMAND: &str = "pvesm list";
/// More than any guest has.
const MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_guests_own_rows_are_taken() {
        let volume = row("local:101/vm-101-disk-0.raw  raw     images    5242880 101", 101);
        assert_eq!(volume, Some(Volume { id: "local:101/vm-101-disk-0.raw".to_owned(), bytes: 5_242_880 }));
        for line in ["", "local:101/x raw images 5 102", "local:101/x raw images x 101", "x raw images 5 101 more"] {
            assert_eq!(row(line, 101), None, "{line}");
        }
    }
}
