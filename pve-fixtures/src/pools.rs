//! Pools of `user.cfg`, and what of `pvesh` changes them: `create /pools`, `set /pools/ID`,
//! `delete /pools/ID`.

use std::fs;

use crate::{
    Died,
    arguments::{Own, Takes, read},
    root::Root,
};

const OPTIONS: &[(&str, Takes)] =
    &[("poolid", Takes::Word), ("comment", Takes::Word), ("vms", Takes::Word), ("delete", Takes::Flag)];

/// `pool:ID:COMMENT:VMS:STORAGES:`; other lines stay as they are.
enum Line {
    Pool { id: String, comment: String, guests: Vec<u32>, storages: String },
    Other(String),
}

/// `pvesh`.
pub(crate) fn run(own: &Own) -> Result<(), Died> {
    let given = read(&own.rest, OPTIONS)?;
    let [command, path] = given.positionals()?;
    let root = Root::open(own)?;
    root.check_quorum()?;
    let _lock = root.lock("user.cfg")?;
    let mut lines = lines(&root)?;
    let id = path.strip_prefix("/pools/");
    let there = |lines: &[Line], wanted: &str| lines.iter().position(|line| line.is(wanted));
    match (command, id) {
        ("create", None) if path == "/pools" => {
            let id = given.get("poolid").ok_or("400 not enough arguments")?;
            if there(&lines, id).is_some() {
                return Err(format!("create pool failed: pool '{id}' already exists"));
            }
            let comment = given.get("comment").unwrap_or_default().replace(':', "%3A");
            lines.push(Line::Pool { id: id.into(), comment, guests: Vec::new(), storages: String::new() });
        }
        ("set", Some(id)) => {
            let place = there(&lines, id).ok_or_else(|| format!("update pools failed: pool '{id}' does not exist"))?;
            if let Some(Line::Pool { guests, .. }) = lines.get_mut(place) {
                for vmid in given.get("vms").unwrap_or_default().split(',').filter_map(|vmid| vmid.parse::<u32>().ok())
                {
                    guests.retain(|guest| *guest != vmid);
                    guests.extend((!given.flag("delete")).then_some(vmid));
                }
            }
        }
        ("delete", Some(id)) => {
            let place = there(&lines, id).ok_or_else(|| format!("delete pool failed: pool '{id}' does not exist"))?;
            if matches!(&lines[place], Line::Pool { guests, .. } if !guests.is_empty()) {
                return Err(format!("delete pool failed: pool '{id}' is not empty"));
            }
            lines.remove(place);
        }
        _ => return Err(format!("no '{command}' handler for '{path}'")),
    }
    write(&root, &lines)
}

/// That a restore may put its guest there, as PVE asks before it begins.
pub(crate) fn check(root: &Root, pool: Option<&str>) -> Result<(), Died> {
    let Some(pool) = pool else { return Ok(()) };
    match lines(root)?.iter().any(|line| line.is(pool)) {
        true => Ok(()),
        false => Err(format!("pool '{pool}' does not exist")),
    }
}

/// Puts a guest into a pool, as the last thing of its restore.
pub(crate) fn add(root: &Root, pool: Option<&str>, vmid: u32) -> Result<(), Died> {
    let Some(pool) = pool else { return Ok(()) };
    let _lock = root.lock("user.cfg")?;
    let mut lines = lines(root)?;
    for line in &mut lines {
        if line.is(pool)
            && let Line::Pool { guests, .. } = line
        {
            guests.push(vmid);
        }
    }
    write(root, &lines)
}

/// Takes a guest that is destroyed out of every pool.
pub(crate) fn forget(root: &Root, vmid: u32) -> Result<(), Died> {
    let _lock = root.lock("user.cfg")?;
    let mut lines = lines(root)?;
    for line in &mut lines {
        if let Line::Pool { guests, .. } = line {
            guests.retain(|guest| *guest != vmid);
        }
    }
    write(root, &lines)
}

impl Line {
    fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Pool { id, .. } if id == wanted)
    }
}

fn lines(root: &Root) -> Result<Vec<Line>, Died> {
    let text = fs::read_to_string(root.etc_pve().join("user.cfg")).unwrap_or_default();
    let line = |line: &str| match line.split(':').collect::<Vec<_>>()[..] {
        ["pool", id, comment, guests, storages, ..] => Line::Pool {
            id: id.into(),
            comment: comment.into(),
            guests: guests.split(',').filter_map(|vmid| vmid.parse().ok()).collect(),
            storages: storages.into(),
        },
        _ => Line::Other(line.to_owned()),
    };
    Ok(text.lines().map(line).collect())
}

fn write(root: &Root, lines: &[Line]) -> Result<(), Died> {
    let text: String = lines
        .iter()
        .map(|line| match line {
            Line::Other(line) => format!("{line}\n"),
            Line::Pool { id, comment, guests, storages } => {
                let guests: Vec<String> = guests.iter().map(u32::to_string).collect();
                format!("pool:{id}:{comment}:{}:{storages}:\n", guests.join(","))
            }
        })
        .collect();
    root.put(&root.etc_pve().join("user.cfg"), text.as_bytes(), 0o640)
}
