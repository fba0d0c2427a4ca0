//! Trees and damage drawn at random.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use pbs_format::pxar::{
    AclEntry, Decoder, DefaultAcl, Encoder, Entry, EntryKind, Event, ExtractOptions, FilePosition, Hardlink, Metadata,
    Mtime, SpecialFile, Xattr,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::hostile::{REPLACE_ALL, contained, small};
use super::support::{Raw, events, path_of};

#[derive(Debug, Clone)]
enum Node {
    Folder(Metadata, BTreeMap<Vec<u8>, Node>),
    File(Metadata, Vec<u8>),
    Symlink(Metadata, Vec<u8>),
    Device(Metadata, u64, u64),
    Fifo(Metadata),
    Socket(Metadata),
    /// To one of the files before it, if there is any.
    Hardlink(proptest::sample::Index),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..12).prop_filter("a file name", |name| {
        name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
    })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255_u8, 1..40)
}

fn acl() -> impl Strategy<Value = Vec<AclEntry>> {
    let entry = any::<(u64, u64)>().prop_map(|(id, permissions)| AclEntry { id, permissions });
    vec(entry, 0..3)
}

fn metadata(file_type: u64) -> impl Strategy<Value = Metadata> {
    let xattr = (text(), vec(any::<u8>(), 0..20)).prop_map(|(name, value)| Xattr { name, value });
    let mask = any::<u64>().prop_map(|mask| (mask != u64::MAX).then_some(mask));
    let default = (any::<(u64, u64, u64)>(), mask).prop_map(|((user_obj, group_obj, other), mask)| DefaultAcl {
        user_obj,
        group_obj,
        other,
        mask,
    });
    let plain = (0..=0o7777_u64, any::<(u64, u32, u32, i64)>(), 0..1_000_000_000_u32);
    let lists = (acl(), acl(), acl(), acl(), option::of(any::<u64>()), option::of(default));
    let rest = (vec(xattr, 0..3), option::of(vec(any::<u8>(), 0..24)), option::of(any::<u64>()));
    (plain, lists, rest).prop_map(move |(plain, lists, rest)| {
        let (mode, (flags, uid, gid, seconds), nanoseconds) = plain;
        let (acl_users, acl_groups, acl_default_users, acl_default_groups, acl_group_obj, acl_default) = lists;
        let (xattrs, fcaps, quota_project_id) = rest;
        Metadata {
            mode: file_type | mode,
            flags,
            uid,
            gid,
            mtime: Mtime { seconds, nanoseconds },
            xattrs,
            acl_users,
            acl_groups,
            acl_group_obj,
            acl_default,
            acl_default_users,
            acl_default_groups,
            fcaps,
            quota_project_id,
        }
    })
}

fn node() -> impl Strategy<Value = Node> {
    let device = prop_oneof![Just(0o060_000), Just(0o020_000)].prop_flat_map(metadata);
    let leaf = prop_oneof![
        4 => (metadata(0o100_000), vec(any::<u8>(), 0..300)).prop_map(|(m, content)| Node::File(m, content)),
        1 => (metadata(0o120_000), text()).prop_map(|(m, target)| Node::Symlink(m, target)),
        1 => (device, any::<(u64, u64)>()).prop_map(|(m, (major, minor))| Node::Device(m, major, minor)),
        1 => metadata(0o010_000).prop_map(Node::Fifo),
        1 => metadata(0o140_000).prop_map(Node::Socket),
        2 => any::<proptest::sample::Index>().prop_map(Node::Hardlink),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        (metadata(0o040_000), btree_map(name(), inner, 0..8)).prop_map(|(m, children)| Node::Folder(m, children))
    })
}

/// Encodes, and keeps what decoding must give.
struct Written {
    encoder: Encoder<Vec<u8>>,
    expected: Vec<(PathBuf, Event, Vec<u8>)>,
    files: Vec<(Vec<u8>, FilePosition)>,
}

impl Written {
    fn expect(&mut self, path: &[u8], name: &[u8], metadata: &Metadata, kind: EntryKind, content: &[u8]) {
        let entry = Entry { name: path_of(name).into(), metadata: metadata.clone(), kind };
        self.expected.push((path_of(path), Event::Entry(Box::new(entry)), content.to_vec()));
    }

    fn node(&mut self, parent: &[u8], name: &[u8], node: &Node) {
        let path = if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() };
        match node {
            Node::Folder(metadata, children) => {
                self.encoder.enter(name, metadata).unwrap();
                self.expect(&path, name, metadata, EntryKind::Directory, b"");
                for (name, child) in children {
                    self.node(&path, name, child);
                }
                self.encoder.leave().unwrap();
                self.expected.push((path_of(&path), Event::Leave, Vec::new()));
            }
            Node::File(metadata, content) => {
                let size = content.len() as u64;
                let (given, position) = self.encoder.file(name, metadata, size, &mut &content[..]).unwrap();
                assert_eq!(given, size);
                self.expect(&path, name, metadata, EntryKind::File { size }, content);
                self.files.push((path, position));
            }
            Node::Symlink(metadata, target) => {
                self.encoder.symlink(name, metadata, target).unwrap();
                self.expect(&path, name, metadata, EntryKind::Symlink { target: path_of(target).into() }, b"");
            }
            Node::Device(metadata, major, minor) => {
                let (major, minor) = (*major, *minor);
                self.encoder.special(name, metadata, SpecialFile::Device { major, minor }).unwrap();
                self.expect(&path, name, metadata, EntryKind::Device { major, minor }, b"");
            }
            Node::Fifo(metadata) => {
                self.encoder.special(name, metadata, SpecialFile::Fifo).unwrap();
                self.expect(&path, name, metadata, EntryKind::Fifo, b"");
            }
            Node::Socket(metadata) => {
                self.encoder.special(name, metadata, SpecialFile::Socket).unwrap();
                self.expect(&path, name, metadata, EntryKind::Socket, b"");
            }
            Node::Hardlink(index) => {
                if self.files.is_empty() {
                    return;
                }
                let (target, position) = index.get(&self.files).clone();
                let distance = self.encoder.offset() - position.offset();
                self.encoder.hardlink(name, &target, position).unwrap();
                let link = Hardlink { name: path_of(name).into(), target: path_of(&target).into(), distance };
                self.expected.push((path_of(&path), Event::Hardlink(link), Vec::new()));
            }
        }
    }
}

/// Finds every child again through the tables alone, as a random-access reader does.
fn check_tables(archive: &[u8]) {
    let word = |at: usize| u64::from_le_bytes(archive[at..at + 8].try_into().unwrap());
    let at = |number: u64| usize::try_from(number).unwrap();
    // From each tail to its folder; the last table is the root's, whose ENTRY is the first item.
    let last = archive.len();
    assert_eq!(last - at(word(last - 8)) - at(word(last - 16)), 0);
    let mut tables = vec![archive.len()];
    while let Some(end) = tables.pop() {
        assert_eq!(word(end - 24), 0xef5e_ed5b_753e_1555);
        let size = at(word(end - 8));
        let start = end - size;
        let rows = (size - 16) / 24 - 1;
        let mut found = HashMap::new();
        for row in 0..rows {
            let row_at = start + 16 + 24 * row;
            let child = start - at(word(row_at + 8));
            let end_of_child = child + at(word(row_at + 16));
            let name_end = child + at(word(child + 8));
            let name = &archive[child + 16..name_end - 1];
            assert_eq!(pbs_format::pxar::name_hash(name), word(row_at));
            found.insert(name.to_vec(), row);
            let is_folder = word(name_end) == super::support::ENTRY && word(name_end + 16) & 0o170_000 == 0o040_000;
            if is_folder {
                assert_eq!(end_of_child - at(word(end_of_child - 8)) - at(word(end_of_child - 16)), name_end);
                tables.push(end_of_child);
            }
        }
        for (name, expected) in found {
            let hash = pbs_format::pxar::name_hash(&name);
            let mut row = 0;
            while row < rows && row != expected {
                row = 2 * row + if hash < word(start + 16 + 24 * row) { 1 } else { 2 };
            }
            assert_eq!(row, expected, "{name:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(root in metadata(0o040_000), children in btree_map(name(), node(), 0..8)) {
        let encoder = Encoder::new(Vec::new(), &root).unwrap();
        let mut written = Written { encoder, expected: Vec::new(), files: Vec::new() };
        written.expect(b"", b"", &root, EntryKind::Directory, b"");
        for (name, node) in &children {
            written.node(b"", name, node);
        }
        written.expected.push((PathBuf::new(), Event::Leave, Vec::new()));
        let archive = written.encoder.finish().unwrap();
        prop_assert_eq!(events(&archive), written.expected);
        check_tables(&archive);
    }

    #[test]
    fn damage_neither_panics_nor_leaves_the_target(
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        moved in option::of((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), 0..80_usize)),
    ) {
        let mut archive = damageable().0;
        for (at, value) in changes {
            let at = at.index(archive.len());
            archive[at] = value;
        }
        if let Some((from, to, length)) = moved {
            let from = from.index(archive.len());
            let piece: Vec<u8> = archive.iter().skip(from).take(length).copied().collect();
            let to = to.index(archive.len());
            archive.splice(to..to, piece);
        }
        let mut decoder = Decoder::new(&archive[..]);
        while let Ok(Some(_)) = decoder.next_event() {
            std::io::copy(&mut decoder.content(), &mut std::io::sink()).ok();
        }
        let _either = contained(&archive, &ExtractOptions::default());
        let _either = contained(&archive, &REPLACE_ALL);
    }
}

/// An archive in which single bytes matter: names that are nearly `..`, links that nearly leave.
fn damageable() -> Raw {
    let mut archive = small();
    let goodbye = archive.0.len() - 40;
    archive.0.truncate(goodbye);
    archive
        .symlink(b"s", b"../outside")
        .folder(b"S")
        .file(b"secret", b"x")
        .folder(b".-")
        .file(b"x", b"y")
        .goodbye()
        .goodbye()
        .hardlink(b"q", b"S/secret")
        .hardlink(b"r", b"S/.-/x")
        .goodbye()
}

#[test]
fn many_children_make_a_whole_tree() {
    let folder = super::support::metadata(0o040_755);
    let file = super::support::metadata(0o100_644);
    for count in 0..70 {
        let mut encoder = Encoder::new(Vec::new(), &folder).unwrap();
        for number in 0..count {
            let name = format!("file-{number:03}");
            encoder.file(name.as_bytes(), &file, 0, &mut std::io::empty()).unwrap();
        }
        check_tables(&encoder.finish().unwrap());
    }
}
