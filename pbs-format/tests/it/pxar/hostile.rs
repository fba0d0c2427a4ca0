//! Archives that lie: each is refused with the right error, and nothing appears outside the target.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use pbs_format::pxar::{
    DecodeError, Decoder, ExtractError, ExtractOptions, ExtractReport, MAX_DEPTH, Overwrite, extract,
};

use super::support::{
    ACL_DEFAULT, ACL_DEFAULT_GROUP, ACL_DEFAULT_USER, ACL_GROUP, ACL_GROUP_OBJ, ACL_USER, DEVICE, ENTRY, ENTRY_OLD,
    FCAPS, FILENAME, GOODBYE, HARDLINK, PAYLOAD, QUOTA_PROJID, Raw, SYMLINK, Scratch, XATTR, metadata, tree,
};

pub(crate) const REPLACE_ALL: ExtractOptions = ExtractOptions {
    allow_existing_dirs: true,
    overwrite: Overwrite { files: true, symlinks: true, hardlinks: true },
    ignore_ownership: false,
    ignore_xattrs: false,
    ignore_acls: false,
    ignore_permissions: false,
    ignore_extract_device_errors: false,
};

/// Reads an archive to its end.
fn read(archive: &[u8]) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(archive);
    while decoder.next_event()?.is_some() {
        match decoder.content().read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => return Err(error.downcast::<DecodeError>().unwrap_or_else(DecodeError::Read)),
        }
    }
    Ok(())
}

/// Extracts into a folder beside which something of value lies, and sees that it still does, alone.
pub(crate) fn contained(archive: &[u8], options: &ExtractOptions) -> (Result<ExtractReport, ExtractError>, Scratch) {
    let scratch = Scratch::new();
    fs::create_dir(scratch.join("outside")).unwrap();
    fs::write(scratch.join("outside/secret"), "untouched").unwrap();
    let before = tree(&scratch.join("outside"));
    let done = extract(archive, &scratch.join("target"), options);
    assert_eq!(tree(&scratch.join("outside")), before);
    let mut names: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name != "target");
    assert_eq!(names, ["outside"]);
    (done, scratch)
}

fn refused(archive: &Raw, options: &ExtractOptions) -> String {
    let (done, _scratch) = contained(&archive.0, options);
    done.unwrap_err().client_text()
}

fn lines(start: &str, text: &str) {
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn names_are_single_components() {
    for name in [&b""[..], b".", b"..", b"/", b"/etc", b"a/b", b"../outside/new", b"a\0b", &[b'x'; 4096]] {
        let archive = Raw::rooted().file(name, b"x").goodbye();
        let error = read(&archive.0);
        if name.len() == 4096 {
            // Legal in an archive; no file system here takes it.
            error.unwrap();
        } else {
            assert!(matches!(error, Err(DecodeError::Name { .. })), "{name:?}: {error:?}");
        }
        contained(&archive.0, &REPLACE_ALL).0.unwrap_err();
    }
    let unended = Raw::rooted().item(FILENAME, b"a").entry(0o100_644).item(PAYLOAD, b"").goodbye();
    assert!(matches!(read(&unended.0), Err(DecodeError::Malformed { item: "FILENAME", .. })));
    let long = Raw::rooted().file(&[b'x'; 4097], b"").goodbye();
    assert!(matches!(read(&long.0), Err(DecodeError::ItemSize { item: "FILENAME", .. })));
}

#[test]
fn a_symbolic_link_is_never_followed_into() {
    let through = Raw::rooted().symlink(b"d", b"../outside").folder(b"d").file(b"new", b"x").goodbye().goodbye();
    let text = refused(&through, &ExtractOptions::default());
    lines(
        r#"encountered unexpected error during extraction: error at entry "d": failed to enter directory: EEXIST"#,
        &text,
    );
    let text = refused(&through, &REPLACE_ALL);
    lines(
        r#"encountered unexpected error during extraction: error at entry "d": failed to enter directory: ENOTDIR"#,
        &text,
    );
}

#[test]
fn a_link_that_lies_in_the_target_is_not_followed_either() {
    let archive = Raw::rooted().folder(b"d").file(b"secret", b"overwritten").goodbye().goodbye();
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.join("target")).unwrap();
    fs::create_dir(scratch.join("outside")).unwrap();
    fs::write(scratch.join("outside/secret"), "untouched").unwrap();
    std::os::unix::fs::symlink("../outside", scratch.join("target/d")).unwrap();
    extract(&archive.0[..], &scratch.join("target"), &REPLACE_ALL).unwrap_err();
    assert_eq!(fs::read(scratch.join("outside/secret")).unwrap(), b"untouched");
}

#[test]
fn a_file_in_place_of_a_link_replaces_the_link() {
    let archive = Raw::rooted().symlink(b"d", b"../outside/secret").file(b"d", b"mine").goodbye();
    let text = refused(&archive, &ExtractOptions::default());
    lines(
        "encountered unexpected error during extraction: error at entry \"d\": failed to extract file: \
         failed to create file \"d\": EEXIST: File exists",
        &text,
    );
    let (done, scratch) = contained(&archive.0, &REPLACE_ALL);
    done.unwrap();
    assert!(scratch.join("target/d").symlink_metadata().unwrap().is_file());
}

#[test]
fn a_hard_link_leads_to_a_file_of_the_archive_only() {
    for target in [&b"../outside/secret"[..], b"/etc/passwd", b"a/../../outside/secret", b"", b"a//b", b"./a", b"a\0b"]
    {
        let archive = Raw::rooted().file(b"a", b"x").hardlink(b"b", target).goodbye();
        let error = read(&archive.0);
        assert!(matches!(error, Err(DecodeError::LinkTarget { .. })), "{target:?}: {error:?}");
        contained(&archive.0, &REPLACE_ALL).0.unwrap_err();
    }
    let later = Raw::rooted().hardlink(b"a", b"b").file(b"b", b"x").goodbye();
    lines(
        "encountered unexpected error during extraction: error at entry \"a\": failed to extract hardlink: \
         failed to open link target \"b\": No such file",
        &refused(&later, &REPLACE_ALL),
    );
    let through = Raw::rooted().symlink(b"s", b"../outside").hardlink(b"b", b"s/secret").goodbye();
    lines(
        "encountered unexpected error during extraction: error at entry \"b\": failed to extract hardlink: \
         failed to open link target \"s/secret\": Not a directory",
        &refused(&through, &REPLACE_ALL),
    );
    let to_link = Raw::rooted().symlink(b"s", b"../outside/secret").hardlink(b"b", b"s").goodbye();
    lines(
        "encountered unexpected error during extraction: error at entry \"b\": failed to extract hardlink: \
         failed to open link target \"s\": not a regular file",
        &refused(&to_link, &REPLACE_ALL),
    );
    let to_folder = Raw::rooted().folder(b"d").goodbye().hardlink(b"b", b"d").goodbye();
    refused(&to_folder, &REPLACE_ALL);
    let to_itself = Raw::rooted().file(b"a", b"x").hardlink(b"a", b"a").goodbye();
    refused(&to_itself, &ExtractOptions::default());
    let (done, scratch) = contained(&to_itself.0, &REPLACE_ALL);
    done.unwrap();
    assert_eq!(fs::read(scratch.join("target/a")).unwrap(), b"x");
}

#[test]
fn a_hard_link_has_a_distance_inside_the_archive() {
    for distance in [0, 10_000, u64::MAX] {
        let content = [&u64::to_le_bytes(distance)[..], b"a\0"].concat();
        let archive = Raw::rooted().file(b"a", b"x").name(b"b").item(HARDLINK, &content).goodbye();
        let error = read(&archive.0);
        assert!(matches!(error, Err(DecodeError::Malformed { item: "HARDLINK", .. })), "{error:?}");
    }
    for content in [&b""[..], b"1234567", b"12345678", b"\x01\0\0\0\0\0\0\0abc"] {
        let archive = Raw::rooted().file(b"a", b"x").name(b"b").item(HARDLINK, content).goodbye();
        let error = read(&archive.0);
        assert!(matches!(error, Err(DecodeError::Malformed { item: "HARDLINK", .. })), "{error:?}");
    }
}

/// Items that state impossible sizes, in places where the item itself may stand.
#[test]
fn no_size_is_believed() {
    let inside = [
        XATTR,
        ACL_USER,
        ACL_GROUP,
        ACL_GROUP_OBJ,
        ACL_DEFAULT,
        ACL_DEFAULT_USER,
        ACL_DEFAULT_GROUP,
        FCAPS,
        QUOTA_PROJID,
        SYMLINK,
        HARDLINK,
        DEVICE,
        PAYLOAD,
        GOODBYE,
        FILENAME,
        ENTRY,
        ENTRY_OLD,
    ];
    for kind in inside {
        for size in [0, 1, 15, (1 << 63) + 16, 1 << 63, u64::MAX - 16, u64::MAX] {
            let archive = Raw::rooted().name(b"f").entry(0o100_644).header(kind, size);
            let error = read(&archive.0);
            if (kind == PAYLOAD || kind == GOODBYE) && size == 1 << 63 {
                // 2^63 - 16 bytes of content are possible; they just are not there.
                let ended = matches!(error, Err(DecodeError::Truncated { .. } | DecodeError::MissingBody { .. }));
                assert!(ended, "{error:?}");
            } else {
                assert!(matches!(error, Err(DecodeError::ItemSize { .. })), "{kind:#x} {size}: {error:?}");
            }
        }
    }
    for (kind, most) in [(XATTR, 65_791), (FCAPS, 65_791), (FILENAME, 4097), (SYMLINK, 4097), (HARDLINK, 4105)] {
        for (content, fits) in [(most, true), (most + 1, false)] {
            let archive = Raw::rooted().name(b"f").entry(0o100_644).header(kind, content + 16);
            let refused = matches!(read(&archive.0), Err(DecodeError::ItemSize { .. }));
            assert_eq!(refused, !fits, "{kind:#x} {content}");
        }
    }
    for size in [0, 15, 55, 57, u64::MAX] {
        let archive = Raw::default().header(ENTRY, size);
        assert!(matches!(read(&archive.0), Err(DecodeError::ItemSize { item: "ENTRY", offset: 0, .. })));
    }
}

#[test]
fn a_huge_file_takes_no_more_than_it_has() {
    let archive = Raw::rooted().name(b"f").entry(0o100_644).header(PAYLOAD, (1 << 63) - 16).bytes(b"few");
    let (done, scratch) = contained(&archive.0, &ExtractOptions::default());
    lines(
        "encountered unexpected error during extraction: error at entry \"f\": failed to extract file: \
         failed to copy file contents: archive ends early, at byte",
        &done.unwrap_err().client_text(),
    );
    assert!(scratch.join("target/f").symlink_metadata().unwrap().len() < 4096);
}

/// One of everything, small.
pub(crate) fn small() -> Raw {
    Raw::rooted()
        .item(XATTR, b"user.a\0b")
        .folder(b"d")
        .file(b"f", b"content")
        .goodbye()
        .file(b"e", b"")
        .symlink(b"l", b"e")
        .hardlink(b"h", b"d/f")
        .name(b"p")
        .entry(0o010_600)
        .name(b"s")
        .entry(0o140_600)
        .goodbye()
}

#[test]
fn an_archive_cut_anywhere_is_an_error() {
    let whole = small().0;
    read(&whole).unwrap();
    for end in 0..whole.len() {
        let error = read(&whole[..end]);
        assert!(matches!(error, Err(DecodeError::Truncated { offset }) if offset == end as u64), "{end}: {error:?}");
    }
    // Extraction is dearer: every item's boundary and a byte to each side of it.
    for end in (0..whole.len()).step_by(7) {
        contained(&whole[..end], &ExtractOptions::default()).0.unwrap_err();
    }
    let (done, _scratch) = contained(&whole, &ExtractOptions::default());
    assert!(done.unwrap().is_complete());
}

#[test]
fn nothing_follows_the_end() {
    let error = read(&small().bytes(b"\0").0);
    assert!(matches!(error, Err(DecodeError::Trailing { .. })), "{error:?}");
}

#[test]
fn a_missing_body_is_named() {
    for (mode, item) in [(0o100_644, "PAYLOAD"), (0o120_777, "SYMLINK"), (0o020_600, "DEVICE"), (0o060_600, "DEVICE")] {
        for archive in [
            Raw::rooted().name(b"x").entry(mode).goodbye(),
            Raw::rooted().name(b"x").entry(mode).file(b"next", b"").goodbye(),
        ] {
            let error = read(&archive.0);
            assert!(matches!(error, Err(DecodeError::MissingBody { item: found, .. }) if found == item), "{error:?}");
        }
    }
    for mode in [0o040_755, 0o010_600, 0o140_600, 0o120_777] {
        let archive = Raw::rooted().name(b"x").entry(mode).item(PAYLOAD, b"x").goodbye();
        let error = read(&archive.0);
        assert!(matches!(error, Err(DecodeError::Unexpected { item: "PAYLOAD", .. })), "{error:?}");
    }
}

#[test]
fn what_is_no_archive_of_this_kind_is_named() {
    assert!(matches!(read(b""), Err(DecodeError::Truncated { offset: 0 })));
    assert!(matches!(read(&[0; 64]), Err(DecodeError::NotAnArchive { found: 0 })));
    let file = Raw::default().entry(0o100_644).item(PAYLOAD, b"");
    assert!(matches!(read(&file.0), Err(DecodeError::Root)));
    let named = Raw::default().file(b"x", b"");
    assert!(matches!(read(&named.0), Err(DecodeError::NotAnArchive { found: FILENAME })));

    let split = Raw::default().item(0x730f_6c75_df16_a40d, &2_u64.to_le_bytes()).entry(0o040_755).goodbye();
    assert!(matches!(read(&split.0), Err(DecodeError::Version { version: 2 })));
    let (done, scratch) = contained(&split.0, &ExtractOptions::default());
    lines(
        "failed to initialize extractor: error reading pxar archive: pxar version 2 (a split archive)",
        &done.unwrap_err().client_text(),
    );
    assert!(!scratch.join("target").exists());

    let reference = Raw::rooted().name(b"f").entry(0o100_644).item(0x419d_3d6b_c4ba_977e, &[0; 16]).goodbye();
    assert!(matches!(read(&reference.0), Err(DecodeError::Unexpected { item: "PAYLOAD_REF", .. })));
    let unknown = Raw::rooted().item(0x1234, b"").goodbye();
    assert!(matches!(read(&unknown.0), Err(DecodeError::UnknownItem { number: 0x1234, .. })));
}

#[test]
fn metadata_comes_in_any_order_and_once() {
    let any = Raw::rooted().item(QUOTA_PROJID, &[1; 8]).item(FCAPS, b"x").item(ACL_GROUP_OBJ, &[0; 8]).goodbye();
    read(&any.0).unwrap();
    for (kind, length) in [(QUOTA_PROJID, 8), (FCAPS, 4), (ACL_GROUP_OBJ, 8), (ACL_DEFAULT, 32)] {
        let twice = Raw::rooted().item(kind, &vec![0; length]).item(kind, &vec![0; length]).goodbye();
        assert!(matches!(read(&twice.0), Err(DecodeError::Unexpected { .. })));
    }
    for content in [&b"no end"[..], b"\0value", b""] {
        let archive = Raw::rooted().item(XATTR, content).goodbye();
        assert!(matches!(read(&archive.0), Err(DecodeError::Malformed { item: "XATTR", .. })));
    }
    for target in [&b"\0"[..], b"", b"a", b"a\0b\0"] {
        let archive = Raw::rooted().name(b"l").entry(0o120_777).item(SYMLINK, target).goodbye();
        assert!(matches!(read(&archive.0), Err(DecodeError::Malformed { item: "SYMLINK", .. })));
    }
    let odd = Raw::rooted().name(b"f").entry(0o1_100_644).item(PAYLOAD, b"").goodbye();
    assert!(matches!(read(&odd.0), Err(DecodeError::Malformed { item: "ENTRY", .. })));
}

#[test]
fn metadata_is_bounded() {
    let value = [&b"user.x\0"[..], &[b'v'; 65_000]].concat();
    let mut archive = Raw::rooted();
    for _ in 0..300 {
        archive = archive.item(XATTR, &value);
    }
    assert!(matches!(read(&archive.goodbye().0), Err(DecodeError::TooMuchMetadata)));
    // Over the folders that are open, too, but not over those that were.
    let mut nested = Raw::rooted();
    for _ in 0..300 {
        nested = nested.folder(b"d").item(XATTR, &value);
    }
    assert!(matches!(read(&nested.0), Err(DecodeError::TooMuchMetadata)));
    let mut beside = Raw::rooted();
    for _ in 0..300 {
        beside = beside.folder(b"d").item(XATTR, &value).goodbye();
    }
    read(&beside.goodbye().0).unwrap();
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let mut archive = Raw::rooted();
        for _ in 1..depth {
            archive = archive.folder(b"longer-than-one-path-can-be");
        }
        for _ in 0..depth {
            archive = archive.goodbye();
        }
        archive
    };
    read(&nested(MAX_DEPTH).0).unwrap();
    assert!(matches!(read(&nested(10_000).0), Err(DecodeError::TooDeep)));
    // Deeper than the descriptors that are kept, and than one path can name.
    let (done, _scratch) = contained(&nested(800).0, &ExtractOptions::default());
    assert_eq!(done.unwrap().directories, 800);
}

#[test]
fn goodbye_tables_are_not_believed() {
    for content in [&[][..], &[0xff; 24], &[0; 4800], &[0xff; 7]] {
        let archive = Raw::rooted().file(b"a", b"x").item(GOODBYE, content);
        read(&archive.0).unwrap();
    }
}

#[test]
fn a_name_that_comes_twice_replaces_nothing() {
    let archive = Raw::rooted().file(b"a", b"first").file(b"a", b"second").goodbye();
    let (done, scratch) = contained(&archive.0, &ExtractOptions::default());
    let error = done.unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::AlreadyExists));
    assert_eq!(error.path(), Some(Path::new("a")));
    assert_eq!(fs::read(scratch.join("target/a")).unwrap(), b"first");
}

#[test]
fn an_owner_that_means_leave_it_is_no_owner() {
    for (uid, gid) in [(u32::MAX, 0), (0, u32::MAX)] {
        let archive = Raw::rooted().name(b"f").entry_of(0o100_644, uid, gid).item(PAYLOAD, b"").goodbye();
        let text = refused(&archive, &ExtractOptions::default());
        assert!(text.ends_with("failed to set ownership: Invalid argument (os error 22)"), "{text}");
    }
}

#[test]
fn the_clients_words_for_what_is_there_already() {
    let archive = Raw::rooted().folder(b"empty").goodbye().name(b"fifo").entry(0o010_644).file(b"hard", b"x").goodbye();
    let scratch = Scratch::new();
    extract(&archive.0[..], scratch.path(), &ExtractOptions::default()).unwrap();
    let again = |options: &ExtractOptions| extract(&archive.0[..], scratch.path(), options).unwrap_err().client_text();
    // transcripts/ab.txt
    assert_eq!(
        again(&ExtractOptions::default()),
        "encountered unexpected error during extraction: error at entry \"empty\": failed to enter directory: \
         EEXIST: File exists"
    );
    let fifo = "encountered unexpected error during extraction: error at entry \"fifo\": failed to extract named pipe: \
                failed to create device node: File exists (os error 17)";
    let existing = ExtractOptions { allow_existing_dirs: true, ..ExtractOptions::default() };
    assert_eq!(again(&existing), fifo);
    assert_eq!(again(&REPLACE_ALL), fifo);
    fs::remove_file(scratch.join("fifo")).unwrap();
    // formats.md §11.5
    assert_eq!(
        again(&existing),
        "encountered unexpected error during extraction: error at entry \"hard\": failed to extract file: \
         failed to create file \"hard\": EEXIST: File exists"
    );
    fs::remove_file(scratch.join("fifo")).unwrap();
    extract(&archive.0[..], scratch.path(), &REPLACE_ALL).unwrap();
}

#[test]
fn a_file_is_replaced_and_not_written_into() {
    let archive = Raw::rooted().file(b"a", b"new").goodbye();
    let scratch = Scratch::new();
    fs::create_dir(scratch.join("target")).unwrap();
    fs::write(scratch.join("outside"), "untouched").unwrap();
    fs::hard_link(scratch.join("outside"), scratch.join("target/a")).unwrap();
    extract(&archive.0[..], &scratch.join("target"), &REPLACE_ALL).unwrap();
    assert_eq!(fs::read(scratch.join("outside")).unwrap(), b"untouched");
    assert_eq!(fs::read(scratch.join("target/a")).unwrap(), b"new");

    let folder = Raw::rooted().file(b"d", b"new").goodbye();
    fs::create_dir(scratch.join("target/d")).unwrap();
    extract(&folder.0[..], &scratch.join("target"), &REPLACE_ALL).unwrap_err();
    assert!(scratch.join("target/d").is_dir());

    let pipe = Raw::rooted().name(b"p").entry(0o010_600).goodbye();
    extract(&pipe.0[..], &scratch.join("target"), &REPLACE_ALL).unwrap();
    for archive in [Raw::rooted().file(b"p", b"new").goodbye(), Raw::rooted().symlink(b"p", b"new").goodbye()] {
        let error = extract(&archive.0[..], &scratch.join("target"), &REPLACE_ALL).unwrap_err();
        assert_eq!(error.io_kind(), Some(io::ErrorKind::AlreadyExists));
    }
    let found = &tree(&scratch.join("target"))[Path::new("p")];
    assert_eq!(found.kind, "fifo");
}

/// A stream that fails with words of its own after some bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Ok(0) => Err(io::Error::other("Failed to parse chunk 92ca - Data blob has wrong CRC checksum.")),
            other => other,
        }
    }
}

#[test]
fn the_streams_own_words_come_through() {
    let archive = Raw::rooted().name(b"f.bin").entry(0o100_644).header(PAYLOAD, 1000).bytes(b"begun").0;
    let text = |archive: &[u8]| {
        let scratch = Scratch::new();
        extract(Failing(archive), &scratch.join("target"), &ExtractOptions::default()).unwrap_err().client_text()
    };
    // transcripts/x.txt and hostile-pbs.txt
    assert_eq!(
        text(&archive),
        "encountered unexpected error during extraction: error at entry \"f.bin\": failed to extract file: \
         failed to copy file contents: Failed to parse chunk 92ca - Data blob has wrong CRC checksum."
    );
    assert_eq!(
        text(b""),
        "failed to initialize extractor: error reading pxar archive: Failed to parse chunk 92ca - Data blob has wrong \
         CRC checksum."
    );
    // transcripts/y.txt
    let error = extract(&small().0[..], Path::new("/proc/nope"), &ExtractOptions::default()).unwrap_err();
    assert_eq!(
        error.client_text(),
        "failed to initialize extractor: error creating directory \"/proc/nope\": ENOENT: No such file or directory"
    );
}

#[test]
fn a_decoder_that_failed_does_not_go_on() {
    let archive = Raw::rooted().file(b"..", b"x").file(b"a", b"x").goodbye();
    let mut decoder = Decoder::new(&archive.0[..]);
    decoder.next_event().unwrap();
    decoder.next_event().unwrap_err();
    assert!(matches!(decoder.next_event(), Err(DecodeError::Failed)));
}

#[test]
fn the_encoder_writes_no_such_archive() {
    use pbs_format::pxar::{EncodeError, Encoder};
    let folder = metadata(0o040_755);
    let file = metadata(0o100_644);
    let mut encoder = Encoder::new(Vec::new(), &folder).unwrap();
    for name in [&b""[..], b"..", b"a/b", b"a\0"] {
        assert!(matches!(encoder.file(name, &file, 0, &mut io::empty()), Err(EncodeError::Name)));
    }
    assert!(matches!(encoder.file(b"a", &folder, 0, &mut io::empty()), Err(EncodeError::Metadata)));
    let (_, position) = encoder.file(b"a", &file, 0, &mut io::empty()).unwrap();
    for target in [&b"/a"[..], b"../a", b""] {
        assert!(matches!(encoder.hardlink(b"b", target, position), Err(EncodeError::Target)));
    }
    assert!(matches!(encoder.leave(), Err(EncodeError::Nesting)));
    encoder.enter(b"d", &folder).unwrap();
    assert!(matches!(encoder.finish(), Err(EncodeError::Nesting)));
}
