//! `snapshot list`, `snapshot files`, `list`, `namespace …`, `datastore create`.
//!
//! What is shown of a snapshot is what its manifest claims; nothing is verified, as with the client.

use std::path::PathBuf;

use pbs_format::{
    datastore::{Datastore, DatastoreError, Group, Namespace, Snapshot, SnapshotRef},
    manifest::MANIFEST_NAME,
};
use serde_json::{Map, Value, json};

use super::{Context, print};
use crate::{
    error::Error,
    human,
    server::Use,
    store,
    table::{Format, table},
};

/// `snapshot list [GROUP]`.
pub(crate) fn snapshots(context: &Context<'_>) -> Result<(), Error> {
    let namespace = store::namespace(context.parsed)?;
    let group = match context.parsed.positional(0) {
        None => None,
        Some(_) => {
            let text = context.parsed.argument(0)?;
            Some(text.parse::<Group>().map_err(|_| Error::BadGroup { text: text.to_owned() })?)
        }
    };
    let store = open(context, Use::Read)?;
    let groups = store.groups(&namespace).map_err(store::failed)?;
    let mut shown = Vec::new();
    for group in groups.into_iter().filter(|one| group.as_ref().is_none_or(|wanted| wanted == one)) {
        for snapshot in of_group(&store, &namespace, &group)? {
            if let Some(claims) = claims(&store, &namespace, &snapshot)? {
                shown.push((snapshot, claims));
            }
        }
    }
    let format = Format::of(context.parsed.text("output-format")?);
    if format != Format::Text {
        // Newest first; nobody may rely on it.
        shown.reverse();
        shown.sort_by_key(|(snapshot, _)| std::cmp::Reverse(snapshot.time()));
        let shown = shown.into_iter().map(|(_, claims)| Value::Object(claims)).collect();
        return print(&format.json(&shown)?);
    }
    let rows: Vec<_> = shown
        .into_iter()
        .map(|(snapshot, claims)| {
            let size = claims.get("size").and_then(Value::as_u64);
            let size = size.map(|size| human::bytes(size as f64)).unwrap_or_default();
            vec![snapshot.to_string(), size, archives(names(&claims))]
        })
        .collect();
    print(&table(&[("snapshot", false), ("size", true), ("files", false)], &rows))
}

/// `snapshot files SNAPSHOT`.
pub(crate) fn files(context: &Context<'_>) -> Result<(), Error> {
    let namespace = store::namespace(context.parsed)?;
    let text = context.parsed.argument(0)?;
    let snapshot = text.parse().map_err(|_| Error::BadSnapshot { text: text.to_owned() })?;
    let store = open(context, Use::Read)?;
    let claims = claims(&store, &namespace, &snapshot)?.ok_or(Error::NotFound)?;
    let files = claims.get("files").and_then(Value::as_array).cloned().unwrap_or_default();
    let format = Format::of(context.parsed.text("output-format")?);
    if format != Format::Text {
        return print(&format.json(&Value::Array(files))?);
    }
    let cell = |file: &Value, name: &str| match &file[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut rows: Vec<_> =
        files.iter().map(|file| ["filename", "crypt-mode", "size"].map(|name| cell(file, name)).into()).collect();
    rows.sort();
    print(&table(&[("filename", false), ("crypt-mode", false), ("size", true)], &rows))
}

/// `list`: the groups.
pub(crate) fn groups(context: &Context<'_>) -> Result<(), Error> {
    let namespace = store::namespace(context.parsed)?;
    let store = open(context, Use::Read)?;
    let format = Format::of(context.parsed.text("output-format")?);
    let (mut json, mut rows) = (Vec::new(), Vec::new());
    for group in store.groups(&namespace).map_err(store::failed)? {
        let snapshots = of_group(&store, &namespace, &group)?;
        let finished = |snapshot: &&SnapshotRef| store.snapshot_path(&namespace, snapshot).join(MANIFEST_NAME).exists();
        let Some(last) = snapshots.iter().rfind(finished).or(snapshots.last()) else { continue };
        let files = match store.snapshot(&namespace, last).and_then(|last| last.files()) {
            Ok(files) => files,
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(store::failed(error)),
        };
        let mut files: Vec<_> = files.into_iter().map(|(name, _)| name.to_string()).collect();
        rows.push(vec![
            group.to_string(),
            last.to_string(),
            snapshots.len().to_string(),
            archives(files.iter().map(String::as_str)),
        ]);
        files.reverse();
        let mut shown = json!({
            "backup-count": snapshots.len(),
            "backup-id": group.id(),
            "backup-type": group.backup_type().to_string(),
            "files": files,
            "last-backup": last.time().unix(),
        });
        if let Some(owner) = owner(&store, &namespace, &group)? {
            shown["owner"] = owner.into();
        }
        json.push(shown);
    }
    if format != Format::Text {
        return print(&format.json(&Value::Array(json))?);
    }
    print(&table(&[("group", false), ("last snapshot", false), ("backup-count", true), ("files", false)], &rows))
}

/// `namespace list [NS]`.
pub(crate) fn namespaces(context: &Context<'_>) -> Result<(), Error> {
    let parsed = context.parsed;
    let below = match parsed.positional(0) {
        None => Namespace::root(),
        Some(_) => {
            let text = parsed.argument(0)?;
            text.parse().map_err(|_| parsed.refused("ns", "value does not match the regex pattern"))?
        }
    };
    let store = open(context, Use::Read)?;
    let all = store.namespaces().map_err(store::failed)?;
    let names: Vec<_> = all
        .into_iter()
        .filter(|one| !one.is_root() && below.components().eq(one.components().take(below.components().count())))
        .map(|one| one.to_string())
        .collect();
    let format = Format::of(parsed.text("output-format")?);
    if format != Format::Text {
        return print(&format.json(&names.into_iter().map(|name| json!({ "ns": name })).collect())?);
    }
    print(&names.into_iter().map(|name| name + "\n").collect::<String>())
}

/// `namespace create NS`.
pub(crate) fn create_namespace(context: &Context<'_>) -> Result<(), Error> {
    let parsed = context.parsed;
    let text = parsed.argument(0)?;
    let namespace: Namespace =
        text.parse().map_err(|_| parsed.refused("ns", "value does not match the regex pattern"))?;
    let store = open(context, Use::Write)?;
    let path = store.namespace_path(&namespace);
    std::fs::create_dir_all(&path).map_err(|cause| Error::Store { what: "creating", path, cause: cause.to_string() })
}

/// `datastore create PATH`.
pub(crate) fn create_datastore(context: &Context<'_>) -> Result<(), Error> {
    let given = context.parsed.argument(0)?;
    let path = match context.root {
        Some(root) if !given.contains('/') => root.join(given),
        _ => PathBuf::from(given),
    };
    Datastore::create(&path).map(drop).map_err(|error| match error {
        DatastoreError::NotEmpty { path } => Error::NoDatastore { path, cause: "the folder is not empty".to_owned() },
        other => store::failed(other),
    })
}

fn open(context: &Context<'_>, what: Use) -> Result<Datastore, Error> {
    let session = context.login()?;
    session.request()?;
    let missing = Error::Denied { privileges: "Datastore.Audit|Datastore.Backup", store: session.repository.store() };
    store::open(context, &session, what, missing)
}

/// The snapshots of a group; none if it went away meanwhile.
fn of_group(store: &Datastore, namespace: &Namespace, group: &Group) -> Result<Vec<SnapshotRef>, Error> {
    match store.snapshots(namespace, group) {
        Err(error) if error.is_missing() => Ok(Vec::new()),
        other => other.map_err(store::failed),
    }
}

fn owner(store: &Datastore, namespace: &Namespace, group: &Group) -> Result<Option<String>, Error> {
    match store.owner(namespace, group) {
        Ok(owner) => Ok(Some(owner)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(store::failed(error)),
    }
}

/// What a snapshot says of itself, as the server lists it; `None` if it is not there.
fn claims(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &SnapshotRef,
) -> Result<Option<Map<String, Value>>, Error> {
    let found: Result<(Snapshot<'_>, _), _> =
        store.snapshot(namespace, snapshot).and_then(|found| found.files().map(|files| (found, files)));
    let (found, on_disk) = match found {
        Ok(found) => found,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(store::failed(error)),
    };
    let group = snapshot.group();
    let mut claims = Map::new();
    claims.insert("backup-id".to_owned(), group.id().into());
    claims.insert("backup-time".to_owned(), snapshot.time().unix().into());
    claims.insert("backup-type".to_owned(), group.backup_type().to_string().into());
    claims.insert("protected".to_owned(), found.path().join(".protected").exists().into());
    if let Some(owner) = owner(store, namespace, group)? {
        claims.insert("owner".to_owned(), owner.into());
    }
    let mut files = Vec::new();
    // Without a manifest that can be read the snapshot counts as unfinished.
    if let Ok(manifest) = found.manifest() {
        for file in manifest.files() {
            files.push(json!({
                "crypt-mode": file.crypt_mode.as_str(),
                "filename": file.filename.as_str(),
                "size": file.size,
            }));
        }
        if let Some((name, size)) = on_disk.iter().find(|(name, _)| name.as_str() == MANIFEST_NAME) {
            let mode = if manifest.is_signed() { "sign-only" } else { "none" };
            files.push(json!({ "crypt-mode": mode, "filename": name.as_str(), "size": size }));
        }
        let size = files.iter().filter_map(|file| file["size"].as_u64()).fold(0, u64::saturating_add);
        claims.insert("size".to_owned(), size.into());
        if let Some(fingerprint) = manifest.key_fingerprint() {
            claims.insert("fingerprint".to_owned(), fingerprint.to_string().into());
        }
        let unprotected = manifest.unprotected();
        if let Some(notes) = unprotected.and_then(|unprotected| unprotected.get("notes")).and_then(Value::as_str) {
            claims.insert("comment".to_owned(), notes.into());
        }
        if let Some(state) = unprotected.and_then(|unprotected| unprotected.get("verify_state")) {
            claims.insert("verification".to_owned(), state.clone());
        }
    }
    for (name, _) in &on_disk {
        if !files.iter().any(|file| file["filename"] == name.as_str()) {
            files.push(json!({ "filename": name.as_str() }));
        }
    }
    claims.insert("files".to_owned(), Value::Array(files));
    Ok(Some(claims))
}

fn names(claims: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let files = claims.get("files").and_then(Value::as_array);
    files.into_iter().flatten().filter_map(|file| file["filename"].as_str())
}

/// Names without the server's endings, sorted, in one cell.
fn archives<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names
        .map(|name| {
            let ending = [".didx", ".fidx", ".blob"].into_iter().find_map(|ending| name.strip_suffix(ending));
            ending.unwrap_or(name)
        })
        .collect();
    names.sort_unstable();
    names.join(" ")
}
