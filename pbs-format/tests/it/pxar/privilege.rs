//! What a process may not set: an error where the client has one, else a row in the report.
//!
//! Privileges belong to threads on Linux, so a thread gives them up and the test process keeps its
//! own.

use std::io;
use std::path::PathBuf;
use std::thread;

use pbs_format::pxar::{CreateOptions, ExtractOptions, Ignored, OmitReason, Property, Reason, create, extract};
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::support::{ACL_DEFAULT_USER, ACL_USER, DEVICE, FCAPS, PAYLOAD, QUOTA_PROJID, Raw, Scratch, XATTR, tree};

const NOBODY: u32 = 65_534;

/// Runs without privileges, in a folder that is one's own.
fn unprivileged(run: impl FnOnce(&Scratch) + Send) {
    let scratch = Scratch::new();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(scratch.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if root {
                let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
                set_thread_groups(&[]).unwrap();
                set_thread_res_gid(gid, gid, gid).unwrap();
                set_thread_res_uid(uid, uid, uid).unwrap();
            }
            run(&scratch);
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn an_owner_that_may_not_be_set_ends_the_restore() {
    unprivileged(|scratch| {
        let archive = Raw::rooted().name(b"empty").entry_of(0o040_755, 0, 0).goodbye().file(b"later", b"").goodbye();
        let error = extract(&archive.0[..], &scratch.join("target"), &ExtractOptions::default()).unwrap_err();
        // transcripts/x.txt
        assert_eq!(
            error.client_text(),
            "encountered unexpected error during extraction: error at entry \"\": failed to leave directory: failed to \
             apply directory metadata: failed to set ownership: Operation not permitted (os error 1)"
        );
        assert_eq!(error.io_kind(), Some(io::ErrorKind::PermissionDenied));
        assert!(!scratch.join("target/later").exists());

        let options = ExtractOptions { ignore_ownership: true, ..ExtractOptions::default() };
        let report = extract(&archive.0[..], &scratch.join("again"), &options).unwrap();
        assert_eq!(report.ignored, Ignored { owners: 3, ..Ignored::default() });
        assert!(!report.is_complete());
    });
}

#[test]
fn a_device_that_may_not_be_made_ends_the_restore_or_is_reported() {
    unprivileged(|scratch| {
        let device = [1_u64.to_le_bytes(), 3_u64.to_le_bytes()].concat();
        let archive = Raw::rooted().name(b"null").entry(0o020_666).item(DEVICE, &device).file(b"z", b"").goodbye();
        let error = extract(&archive.0[..], &scratch.join("target"), &ExtractOptions::default()).unwrap_err();
        assert_eq!(
            error.client_text(),
            "encountered unexpected error during extraction: error at entry \"null\": failed to extract device: failed \
             to create device node: Operation not permitted (os error 1)"
        );
        let options = ExtractOptions { ignore_extract_device_errors: true, ..ExtractOptions::default() };
        let report = extract(&archive.0[..], &scratch.join("again"), &options).unwrap();
        assert!(scratch.join("again/z").exists());
        assert_eq!(report.specials, 0);
        let [row] = &report.not_set[..] else { panic!("{report:?}") };
        assert_eq!((row.path.to_str(), &row.property), (Some("null"), &Property::DeviceNode));
        assert!(matches!(&row.reason, Reason::Refused(error) if error.kind() == io::ErrorKind::PermissionDenied));
    });
    let wide = [u64::MAX.to_le_bytes(), 3_u64.to_le_bytes()].concat();
    let archive = Raw::rooted().name(b"null").entry(0o020_666).item(DEVICE, &wide).goodbye();
    let error = extract(&archive.0[..], &Scratch::new().join("target"), &ExtractOptions::default()).unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::InvalidInput));
}

/// A file with everything that needs privileges, or that nothing here can set.
fn demanding() -> Raw {
    let user = [7_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat();
    let capability = [1_u32.to_le_bytes(), [0, 4, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
    Raw::rooted()
        .item(ACL_DEFAULT_USER, &user)
        .name(b"f")
        .entry(0o100_644)
        .item(XATTR, b"user.fine\0yes")
        .item(XATTR, b"trusted.no\0no")
        .item(XATTR, b"security.selinux\0never")
        .item(ACL_USER, &user)
        .item(FCAPS, &capability)
        .item(QUOTA_PROJID, &7_u64.to_le_bytes())
        .item(PAYLOAD, b"")
        .goodbye()
}

#[test]
fn whatever_is_not_set_is_reported() {
    unprivileged(|scratch| {
        let report = extract(&demanding().0[..], &scratch.join("target"), &ExtractOptions::default()).unwrap();
        let rows: Vec<_> = report.not_set.iter().map(|row| (row.path.clone(), row.property.clone())).collect();
        let file = PathBuf::from("f");
        let expected = [
            (file.clone(), Property::Xattr("trusted.no".into())),
            (file.clone(), Property::Xattr("security.selinux".into())),
            // Permissions of 9, and default entries without the list's own.
            (file.clone(), Property::AccessAcl),
            (file.clone(), Property::Capability),
            (file, Property::QuotaProject),
            (PathBuf::new(), Property::DefaultAcl),
        ];
        assert_eq!(rows, expected);
        assert!(!report.is_complete());
        let found = &tree(&scratch.join("target"))[&PathBuf::from("f")];
        assert_eq!(found.xattrs.keys().collect::<Vec<_>>(), ["user.fine"]);
    });
}

#[test]
fn what_was_to_be_ignored_is_counted() {
    unprivileged(|scratch| {
        let options = ExtractOptions {
            ignore_ownership: true,
            ignore_xattrs: true,
            ignore_acls: true,
            ignore_permissions: true,
            ..ExtractOptions::default()
        };
        let report = extract(&demanding().0[..], &scratch.join("target"), &options).unwrap();
        assert_eq!(report.ignored, Ignored { owners: 2, xattrs: 4, acls: 2, permissions: 2 });
        let found = tree(&scratch.join("target"));
        assert!(found.values().all(|state| state.xattrs.is_empty()));
        assert_eq!(found[&PathBuf::from("f")].mode, 0o600);
    });
}

#[test]
fn a_folder_that_nobody_may_enter_is_left_well() {
    unprivileged(|scratch| {
        let mut archive = Raw::rooted();
        for _ in 0..200 {
            archive = archive.name(b"d").entry(0o040_000);
        }
        for _ in 0..200 {
            archive = archive.goodbye().file(b"z", b"beside");
        }
        let report = extract(&archive.goodbye().0[..], &scratch.join("target"), &ExtractOptions::default()).unwrap();
        assert_eq!((report.directories, report.files), (201, 200));
    });
}

#[test]
fn what_cannot_be_read_is_reported() {
    unprivileged(|scratch| {
        std::fs::write(scratch.join("closed"), "x").unwrap();
        std::fs::create_dir(scratch.join("locked")).unwrap();
        std::fs::write(scratch.join("open"), "x").unwrap();
        for name in ["closed", "locked"] {
            let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
            std::fs::set_permissions(scratch.join(name), closed).unwrap();
        }
        let mut archive = Vec::new();
        let report = create(scratch.path(), &mut archive, &CreateOptions::default()).unwrap();
        assert_eq!((report.directories, report.files), (1, 1));
        let rows: Vec<_> = report.not_stored.iter().map(|row| row.path.to_str().unwrap()).collect();
        assert_eq!(rows, ["closed", "locked"]);
        assert!(report.not_stored.iter().all(|row| matches!(row.reason, OmitReason::Unreadable(_))));
        assert_eq!(super::support::events(&archive).len(), 3);
    });
}
