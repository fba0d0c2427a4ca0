//! What the backup servers have now, held against the box's last inventory, and what of it a directive
//! leaves out.
//!
//! The inventory is the hub's word for what the box said, and the list is the server's: neither decides
//! anything. What differs is told, since a backup server that was rolled back, emptied or filled by
//! somebody else looks like any other.

use std::collections::BTreeMap;

use tenwords_protocol::{
    directive::Directive,
    holdings::{HeldGroup, Holdings, InventoryReply},
    time::Timestamp,
};

use super::super::connect::Connected;
use crate::{
    hub::HubError,
    recover::claim::Claimed,
    show::{harmless, size},
};

/// Lines of one kind, at most; how many more there are is said.
const MOST: usize = 32;
/// Groups in one line, at most.
const NAMED: usize = 16;
/// A backup that has shrunk to less than this part of what it was is told.
const SHRUNK: u64 = 4;

/// What a source has now.
struct Found<'a> {
    id: &'a str,
    groups: BTreeMap<String, Newest>,
}

/// The newest snapshot of a group.
#[derive(Clone, Copy)]
struct Newest {
    time: Timestamp,
    size: Option<u64>,
}

/// The notes for a plan: what the directive leaves out, and what differs from the last inventory that
/// the hub has of this box.
pub(in crate::recover) fn notes(
    connected: &[Connected<'_>],
    directive: Option<&Directive>,
    claimed: Option<&Claimed>,
) -> Vec<String> {
    let found: Vec<Found<'_>> = connected.iter().map(Found::of).collect();
    let mut notes = directive.map(|directive| not_chosen(&found, directive)).unwrap_or_default();
    match claimed.map(|claimed| claimed.hub.inventory(claimed.identity.box_id)) {
        Some(Ok(Some(InventoryReply { inventory, .. }))) => notes.extend(differences(&found, &inventory)),
        Some(Err(error)) => notes.push(unknown(&error)),
        Some(Ok(None)) | None => {}
    }
    notes
}

/// A hub that does not tell holds nothing up.
fn unknown(error: &HubError) -> String {
    format!("the hub does not tell the box's last inventory ({error}): what has changed since then is not known")
}

impl<'a> Found<'a> {
    fn of(connected: &'a Connected<'_>) -> Self {
        let mut groups: BTreeMap<String, Newest> = BTreeMap::new();
        for info in &connected.snapshots {
            let this = Newest { time: info.snapshot.time(), size: info.size };
            let newest = groups.entry(info.snapshot.group().to_string()).or_insert(this);
            if newest.time < this.time {
                *newest = this;
            }
        }
        Self { id: connected.source.id.as_str(), groups }
    }
}

/// What is there, and no item of the directive names. (A guest that comes from another source comes.)
fn not_chosen(found: &[Found<'_>], directive: &Directive) -> Vec<String> {
    let mut lines = Vec::new();
    for source in found {
        let named = |group: &str| {
            let mut items = directive.items.iter().filter(|item| item.group.to_string() == group);
            items.any(|item| item.source.as_str() == source.id || item.group.guest().is_some())
        };
        let others: Vec<&str> = source.groups.keys().map(String::as_str).filter(|group| !named(group)).collect();
        if others.is_empty() {
            continue;
        }
        let more = match others.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.push(format!(
            "source {}: there, not chosen by directive {}: {}{more}",
            source.id,
            directive.number,
            others[..others.len().min(NAMED)].join(", ")
        ));
    }
    lines
}

/// What was otherwise when the box said last what it had, the gravest first.
fn differences(found: &[Found<'_>], last: &Holdings) -> Vec<String> {
    let (mut gone, mut older, mut smaller, mut new, mut silent, mut never) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let of = last.made_at;
    for held in last.sources.iter() {
        let Some(now) = found.iter().find(|found| found.id == held.id.as_str()) else {
            let groups = held.groups.len();
            silent.push(format!(
                "source {} had {groups} groups in the inventory of {of}; now it gives no answer or is not asked",
                held.id
            ));
            continue;
        };
        for group in held.groups.iter() {
            let what = format!("{} {}", held.id, named(last, group));
            let Some(newest) = now.groups.get(&group.group.to_string()) else {
                gone.push(format!(
                    "{what} was backed up in the inventory of {of} (newest {}) and has no snapshot now",
                    group.newest
                ));
                continue;
            };
            if newest.time < group.newest {
                older.push(format!(
                    "{what}: the newest snapshot now is of {}, OLDER than that of {} in the inventory of {of}: was the \
                     backup server rolled back, or snapshots removed?",
                    newest.time, group.newest
                ));
            }
            if let (Some(now), Some(then)) = (newest.size, group.size)
                && now < then / SHRUNK
            {
                smaller.push(format!("{what}: the newest snapshot has {}, and had {} then", size(now), size(then)));
            }
        }
        // What it could not list then, or had no room for, is not new now.
        if held.answered && held.groups_left_out == 0 {
            let known = |group: &str| held.groups.iter().any(|held| held.group.to_string() == group);
            let others: Vec<&str> = now.groups.keys().map(String::as_str).filter(|group| !known(group)).collect();
            new.extend(others.iter().map(|group| format!("{} {group} is new since the inventory of {of}", held.id)));
        }
    }
    for guest in last.guests.iter() {
        let group = guest.group.to_string();
        let is_held = |held: &[HeldGroup]| held.iter().any(|held| held.group == guest.group);
        let was_held = last.sources.iter().any(|source| is_held(&source.groups) || source.groups_left_out > 0);
        if !was_held && !found.iter().any(|found| found.groups.contains_key(&group)) {
            let name = guest.name.as_ref().map(|name| format!(" ({})", harmless(name.as_str(), 40)));
            never.push(format!(
                "{group}{} was on the box in the inventory of {of}, and has no backup: it cannot come back from here",
                name.unwrap_or_default()
            ));
        }
    }
    [silent, older, gone, smaller, never, new].into_iter().flat_map(bounded).collect()
}

/// `ct/101 (web)`.
fn named(last: &Holdings, group: &HeldGroup) -> String {
    let name = last.name_of(&group.group).map(|name| format!(" ({})", harmless(name, 40))).unwrap_or_default();
    format!("{}{name}", group.group)
}

fn bounded(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    if more > 0 {
        lines.push(format!("and {more} more of the same kind as the line before"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use tenwords_protocol::json;

    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    fn newest(day: u8, size: u64) -> Result<Newest, Box<dyn std::error::Error>> {
        Ok(Newest { time: format!("2026-03-{day:02}T02:30:00Z").parse()?, size: Some(size) })
    }

    fn found<'a>(id: &'a str, groups: &[(&str, u8, u64)]) -> Result<Found<'a>, Box<dyn std::error::Error>> {
        let groups = groups.iter().map(|(name, day, size)| Ok(((*name).to_owned(), newest(*day, *size)?)));
        Ok(Found { id, groups: groups.collect::<Result<_, Box<dyn std::error::Error>>>()? })
    }

    fn last(sources: &str, guests: &str) -> Result<Holdings, json::JsonError> {
        json::from_slice(
            format!(r#"{{"v":1,"made_at":"2026-03-03T12:00:00Z","sources":{sources},"guests":{guests}}}"#).as_bytes(),
        )
    }

    fn group(name: &str, day: u8, size: u64) -> String {
        format!(r#"{{"group":"{name}","count":1,"newest":"2026-03-{day:02}T02:30:00Z","size":{size}}}"#)
    }

    #[test]
    fn what_is_as_it_was_or_only_newer_is_not_told() -> TestResult {
        let groups = [group("ct/101", 3, 4000), group("vm/102", 3, 4000)].join(",");
        let last = last(&format!(r#"[{{"id":"pbs","answered":true,"groups":[{groups}]}}]"#), "[]")?;
        let now = found("pbs", &[("ct/101", 3, 4000), ("vm/102", 9, 1000)])?;
        assert_eq!(differences(&[now], &last), Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn each_difference_has_its_line_and_the_gravest_come_first() -> TestResult {
        let groups = [group("ct/101", 3, 4000), group("ct/103", 3, 1), group("vm/102", 3, 4000)].join(",");
        let last = last(
            &format!(
                r#"[{{"id":"pbs","answered":true,"groups":[{groups}]}},{{"id":"second","answered":true,"groups":[]}}]"#
            ),
            r#"[{"group":"ct/103","name":"ba\u001b[2Jd\u202e","covered":true},{"group":"ct/109","covered":false}]"#,
        )?;
        let now = found("pbs", &[("ct/101", 2, 4000), ("vm/102", 9, 900), ("vm/205", 9, 1)])?;
        let lines = differences(&[now], &last);
        let expected = [
            "source second had 0 groups",
            "pbs ct/101: the newest snapshot now is of 2026-03-02T02:30:00Z, OLDER than that of 2026-03-03T02:30:00Z",
            "pbs ct/103 (ba\u{fffd}[2Jd\u{fffd}) was backed up in the inventory of 2026-03-03T12:00:00Z",
            "pbs vm/102: the newest snapshot has 900 B, and had 3.91 KiB then",
            "ct/109 was on the box",
            "pbs vm/205 is new since the inventory",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line:?} is not {expected:?}");
        }
        Ok(())
    }

    #[test]
    fn what_was_not_listed_then_is_not_new_now_and_many_lines_are_counted() -> TestResult {
        let silent = last(r#"[{"id":"pbs","answered":false,"groups":[]}]"#, "[]")?;
        let now = [found("pbs", &[("ct/101", 2, 1)])?];
        assert!(differences(&now, &silent).is_empty());
        let cut = last(r#"[{"id":"pbs","answered":true,"groups":[],"groups_left_out":1}]"#, "[]")?;
        assert!(differences(&now, &cut).is_empty());
        let many: Vec<String> = (100..200).map(|number| group(&format!("ct/{number}"), 3, 1)).collect();
        let many = last(&format!(r#"[{{"id":"pbs","answered":true,"groups":[{}]}}]"#, many.join(",")), "[]")?;
        let lines = differences(&[found("pbs", &[])?], &many);
        assert_eq!(lines.len(), MOST + 1);
        assert!(lines.last().is_some_and(|line| line.starts_with("and 68 more")), "{lines:?}");
        Ok(())
    }

    #[test]
    fn what_a_directive_does_not_name_is_told_by_source() -> TestResult {
        let directive: Directive = json::from_slice(
            br#"{"v":1,"number":4,"items":[{"source":"pbs","group":"ct/101","snapshot":"newest","as":{}}]}"#,
        )?;
        let all = found("pbs", &[("ct/101", 2, 1), ("host/box1", 1, 1), ("vm/102", 1, 1)])?;
        let second = found("second", &[("ct/101", 2, 1)])?;
        assert_eq!(
            not_chosen(&[all, second], &directive),
            ["source pbs: there, not chosen by directive 4: host/box1, vm/102"],
            "what comes from one source is not missed at another"
        );
        let hosts = found("second", &[("host/box1", 1, 1)])?;
        assert_eq!(not_chosen(&[hosts], &directive), ["source second: there, not chosen by directive 4: host/box1"]);
        Ok(())
    }
}
