//! An entry's metadata onto an inode: attributes, owner, ACLs, capability, mode, time, flags, in
//! that order. (A change of owner takes set-id bits and capabilities away; an ACL changes the
//! mode; any change but of the flags would disturb an immutable file.)
//!
//! Owner, mode and time must succeed unless the options say otherwise. Attributes, ACLs,
//! capabilities, flags and project ids that this process or file system cannot have are reported;
//! a failing disk is still an error.

use super::acl;
use super::error::{Step, StepError};
use super::extract::ExtractOptions;
use super::handle::{self, Handle};
use super::metadata::{FileType, Metadata};
use super::report::{ExtractReport, Property, Reason};
use rustix::fs::IFlags;
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Flags that forbid later changes, so they come after everything else.
pub(super) const SEALING: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

pub(super) struct Apply<'a> {
    pub(super) options: &'a ExtractOptions,
    pub(super) report: &'a mut ExtractReport,
    pub(super) path: &'a Path,
    /// The folder around it gave the new inode an ACL of its own making.
    pub(super) inherited_acl: bool,
}

impl Apply<'_> {
    /// All but the sealing flags, which are returned: further names may follow.
    pub(super) fn all(&mut self, to: Handle<'_>, metadata: &Metadata) -> Result<IFlags, StepError> {
        self.xattrs(to, metadata)?;
        self.owner(to, metadata)?;
        self.acls(to, metadata)?;
        self.capability(to, metadata)?;
        self.mode(to, metadata)?;
        to.set_mtime(metadata.mtime).map_err(|error| Step::Mtime.io(error))?;
        if metadata.quota_project_id.is_some() {
            self.missed(Property::QuotaProject, Reason::Unsupported);
        }
        self.flags(to, metadata)
    }

    fn xattrs(&mut self, to: Handle<'_>, metadata: &Metadata) -> Result<(), StepError> {
        if self.options.ignore_xattrs {
            self.report.ignored.xattrs += metadata.xattrs.len() as u64;
            return Ok(());
        }
        for xattr in &metadata.xattrs {
            let name = || OsString::from_vec(xattr.name.clone());
            if !is_stored(&xattr.name) {
                self.missed(Property::Xattr(name()), Reason::Unsupported);
            } else if let Err(error) = to.set_xattr(&xattr.name, &xattr.value) {
                self.judge(error, Property::Xattr(name()), Step::Xattr(name()))?;
            }
        }
        Ok(())
    }

    fn owner(&mut self, to: Handle<'_>, metadata: &Metadata) -> Result<(), StepError> {
        if self.options.ignore_ownership {
            self.report.ignored.owners += 1;
            return Ok(());
        }
        to.set_owner(metadata.uid, metadata.gid).map_err(|error| Step::Owner.io(error))
    }

    fn acls(&mut self, to: Handle<'_>, metadata: &Metadata) -> Result<(), StepError> {
        let lists = [
            (Property::AccessAcl, acl::ACCESS, acl::access(metadata)),
            (Property::DefaultAcl, acl::DEFAULT, acl::default(metadata)),
        ];
        for (property, name, list) in lists {
            if self.options.ignore_acls {
                self.report.ignored.acls += u64::from(list != Ok(None));
                continue;
            }
            let set = match list {
                Err(acl::Unsound) => {
                    self.missed(property, Reason::Unsound);
                    continue;
                }
                Ok(Some(value)) => to.set_xattr(name.as_bytes(), &value),
                Ok(None) if self.inherited_acl && may_have_acl(metadata, &property) => to.remove_xattr(name.as_bytes()),
                Ok(None) => continue,
            };
            if let Err(error) = set {
                self.judge(error, property, Step::Acl)?;
            }
        }
        Ok(())
    }

    fn capability(&mut self, to: Handle<'_>, metadata: &Metadata) -> Result<(), StepError> {
        let Some(value) = &metadata.fcaps else {
            return Ok(());
        };
        if self.options.ignore_xattrs {
            self.report.ignored.xattrs += 1;
            return Ok(());
        }
        match to.set_xattr(b"security.capability", value) {
            Ok(()) => Ok(()),
            Err(error) => self.judge(error, Property::Capability, Step::Capability),
        }
    }

    fn mode(&mut self, to: Handle<'_>, metadata: &Metadata) -> Result<(), StepError> {
        // A symbolic link's mode is always the same.
        if metadata.file_type() == Some(FileType::Symlink) {
            return Ok(());
        }
        if self.options.ignore_permissions {
            self.report.ignored.permissions += 1;
            return Ok(());
        }
        let set = to.set_permissions(metadata.permissions());
        set.map_err(|error| Step::Mode.io(error))
    }

    fn flags(&mut self, to: Handle<'_>, metadata: &Metadata) -> Result<IFlags, StepError> {
        if metadata.flags == 0 {
            return Ok(IFlags::empty());
        }
        let (wanted, foreign) = handle::inode_flags(metadata.flags);
        if foreign != 0 {
            self.missed(Property::Flags(foreign), Reason::Unsupported);
        }
        let later = match metadata.file_type() {
            Some(FileType::File | FileType::Directory) => wanted & SEALING,
            _ => IFlags::empty(),
        };
        self.set_flags(to, wanted - later);
        Ok(later)
    }

    /// Sets flags in addition to those there are, and looks whether they hold.
    pub(super) fn set_flags(&mut self, to: Handle<'_>, wanted: IFlags) {
        if wanted.is_empty() {
            return;
        }
        let property = Property::Flags(handle::archive_flags(wanted));
        let set = to.flags().and_then(|present| {
            let present = present.ok_or(Errno::OPNOTSUPP)?;
            to.set_flags(present | wanted)?;
            to.flags()
        });
        match set {
            Err(error) => self.missed(property, Reason::Refused(error.into())),
            Ok(held) => {
                let lost = wanted - held.unwrap_or(IFlags::empty());
                if !lost.is_empty() {
                    let property = Property::Flags(handle::archive_flags(lost));
                    self.missed(property, Reason::Unsupported);
                }
            }
        }
    }

    /// What the process may not or the file system cannot is reported, anything else is an error.
    fn judge(&mut self, error: Errno, property: Property, step: Step) -> Result<(), StepError> {
        match error {
            Errno::PERM
            | Errno::ACCESS
            | Errno::OPNOTSUPP
            | Errno::INVAL
            | Errno::NOSYS
            | Errno::RANGE
            | Errno::TOOBIG
            // No /proc, which links and special files need here.
            | Errno::NOENT => {
                self.missed(property, Reason::Refused(error.into()));
                Ok(())
            }
            other => Err(step.io(other)),
        }
    }

    fn missed(&mut self, property: Property, reason: Reason) {
        self.report.missed(self.path.to_owned(), property, reason);
    }
}

/// Attributes that the client stores (`formats.md` §8.7); others are not restored either, since
/// they would change how this system treats the file.
pub(super) fn is_stored(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"trusted.") || name == b"security.NTACL"
}

fn may_have_acl(metadata: &Metadata, property: &Property) -> bool {
    match metadata.file_type() {
        Some(FileType::Symlink) | None => false,
        Some(FileType::Directory) => true,
        Some(_) => *property == Property::AccessAcl,
    }
}
