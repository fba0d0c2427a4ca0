//! The five archives of `vectors.json`, each of which the real `pxar` program listed and extracted.

use std::os::unix::ffi::OsStrExt;

use pbs_format::pxar::{AclEntry, EntryKind, Event, Metadata, name_hash};
use serde_json::{Value, json};

use super::support::{events, reencode, sha256};
use crate::golden::{base64_of, cases, text};

#[test]
fn names_hash_to_the_vectors() {
    for (name, case) in cases("/pxar/hash") {
        let hash = format!("{:#018x}", name_hash(name.as_bytes()));
        assert_eq!(hash, text(case, "siphash24"), "{name}");
    }
}

#[test]
fn every_vector_is_encoded_again_byte_for_byte() {
    for (name, case) in cases("/pxar/archives") {
        let archive = base64_of(case, "archive_b64");
        assert_eq!(sha256(&archive), text(case, "sha256"), "{name}");
        assert_eq!(reencode(&archive), archive, "{name}");
    }
}

#[test]
fn every_vector_decodes_to_its_listing() {
    for (name, case) in cases("/pxar/archives") {
        let archive = base64_of(case, "archive_b64");
        let mut listed = Vec::new();
        for (path, event, content) in events(&archive) {
            let mut row = match event {
                Event::Leave => continue,
                Event::Hardlink(link) => {
                    json!({"type": "hardlink", "target": link.target.to_str().unwrap()})
                }
                Event::Entry(entry) => {
                    let mut row = common(&entry.metadata);
                    body(&mut row, &entry.kind, entry.metadata.mode, &content);
                    row
                }
            };
            let path = path.to_str().unwrap();
            row["path"] = if path.is_empty() { "/" } else { path }.into();
            listed.push(row);
        }
        assert_eq!(Value::from(listed), case["entries"], "{name}");
    }
}

fn body(row: &mut Value, kind: &EntryKind, mode: u64, content: &[u8]) {
    let name = match kind {
        EntryKind::Directory => "dir",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::File { size } => {
            assert_eq!(*size, content.len() as u64);
            row["size"] = (*size).into();
            row["sha256"] = sha256(content).into();
            "file"
        }
        EntryKind::Symlink { target } => {
            row["target"] = target.to_str().unwrap().into();
            "symlink"
        }
        EntryKind::Device { major, minor } => {
            row["device"] = json!([major, minor]);
            if mode & 0o170_000 == 0o060_000 { "block" } else { "char" }
        }
    };
    row["type"] = name.into();
}

fn common(metadata: &Metadata) -> Value {
    let mut row = json!({
        "mode": format!("{:04o}", metadata.permissions()),
        "uid": metadata.uid,
        "gid": metadata.gid,
        "mtime": [metadata.mtime.seconds, metadata.mtime.nanoseconds],
    });
    if metadata.flags != 0 {
        row["flags"] = format!("{:#x}", metadata.flags).into();
    }
    if !metadata.xattrs.is_empty() {
        let pair = |name: &[u8], value: &[u8]| {
            json!([std::ffi::OsStr::from_bytes(name).to_str().unwrap(), hex::encode(value)])
        };
        let pairs = metadata.xattrs.iter().map(|xattr| pair(&xattr.name, &xattr.value));
        row["xattrs"] = pairs.collect();
    }
    if let Some(fcaps) = &metadata.fcaps {
        row["fcaps_hex"] = hex::encode(fcaps).into();
    }
    if let Some(id) = metadata.quota_project_id {
        row["projid"] = id.into();
    }
    let mut acl = serde_json::Map::new();
    let mut list = |name: &str, entries: &[AclEntry]| {
        if !entries.is_empty() {
            let pairs = entries.iter().map(|entry| json!([entry.id, entry.permissions]));
            acl.insert(name.into(), pairs.collect());
        }
    };
    list("users", &metadata.acl_users);
    list("groups", &metadata.acl_groups);
    list("default_users", &metadata.acl_default_users);
    list("default_groups", &metadata.acl_default_groups);
    if let Some(permissions) = metadata.acl_group_obj {
        acl.insert("group_obj".into(), permissions.into());
    }
    if let Some(default) = metadata.acl_default {
        let mask = default.mask.unwrap_or(u64::MAX);
        let values = json!([default.user_obj, default.group_obj, default.other, mask]);
        acl.insert("default".into(), values);
    }
    if !acl.is_empty() {
        row["acl"] = acl.into();
    }
    row
}
