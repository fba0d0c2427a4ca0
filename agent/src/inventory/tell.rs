//! The inventory as a person reads it. Every text from elsewhere is made harmless here.

use tenwords_protocol::{
    fingerprint::Fingerprint,
    inventory::{
        Answer, Coverage, Crypt, Exclusion, Guest, GuestKind, Inventory, Job, Listing, Selection, SourceEntry,
        SourceState, Verified,
    },
};

use crate::show::{harmless, size};

/// The lines.
pub(super) fn lines(inventory: &Inventory) -> Vec<String> {
    let mut lines = vec![format!(
        "Inventory of {}: agent {}, client {}{}",
        inventory.made_at,
        harmless(inventory.agent_version.as_str(), 64),
        inventory.client_version.as_ref().map_or("none".to_owned(), |version| harmless(version.as_str(), 64)),
        inventory.node.as_ref().map(|node| format!(", node {}", harmless(node.as_str(), 64))).unwrap_or_default(),
    )];
    if inventory.sources.is_empty() {
        lines.push("No sources: no pbs: storage in storage.cfg, no [[source]] in the configuration.".into());
    }
    for source in inventory.sources.iter() {
        of_source(source, &mut lines);
    }
    if !inventory.jobs.is_empty() {
        lines.push("Backup jobs".into());
        lines.extend(inventory.jobs.iter().map(of_job));
    }
    of_guests(inventory, &mut lines);
    for (count, what) in [(inventory.jobs_left_out, "jobs"), (inventory.guests_left_out, "guests")] {
        if count > 0 {
            lines.push(format!("{count} {what} more are left out: there are more than the inventory takes"));
        }
    }
    lines.extend(inventory.problems.iter().map(|problem| format!("PROBLEM: {}", harmless(problem.as_str(), 400))));
    lines
}

fn of_source(source: &SourceEntry, lines: &mut Vec<String>) {
    let host = source.server.as_str();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let repository = format!("{}@{host}:{}:{}", source.auth_id, source.port, source.datastore);
    let namespace = source.namespace.as_ref().map(|name| format!(", namespace {name}")).unwrap_or_default();
    lines.push(format!("Source {}: {}{namespace}", harmless(source.id.as_str(), 64), harmless(&repository, 256)));
    let certificate = source.certificate.map_or("web PKI".to_owned(), |pin| format!("pinned {}", pin.short()));
    let key = source.key.map_or("none".to_owned(), |key| key.short());
    lines.push(format!("  certificate {certificate}; key {key}"));
    let why = source.why.as_ref().map(|why| harmless(why.as_str(), 1000)).unwrap_or_default();
    match source.state {
        SourceState::InUse => {}
        SourceState::Unencrypted => lines.push("  NOT ENCRYPTED: its backups need no key".into()),
        SourceState::NotUsed => lines.push(format!("  not used: {why}")),
        SourceState::Broken => lines.push(format!("  BROKEN: {why}")),
    }
    match &source.answer {
        Answer::NotAsked => lines.push("  not asked".into()),
        Answer::Failed(failed) => lines.push(format!("  NO ANSWER: {}", harmless(failed.text.as_str(), 1000))),
        Answer::Listed(listing) => of_listing(listing, lines),
    }
}

fn of_listing(listing: &Listing, lines: &mut Vec<String>) {
    let Listing { room, snapshots, plain, keys, keys_left_out, groups, groups_left_out } = listing;
    lines.push(format!(
        "  {} free of {}; {} in {}, {plain} of them without a key",
        size(room.available),
        size(room.total),
        counted(*snapshots, "snapshot"),
        counted(groups.len(), "group"),
    ));
    for key in keys.iter() {
        let held = if key.held { "" } else { "  NO KEY FILE OF THIS BOX HOLDS IT" };
        lines.push(format!(
            "  key {}  {}, the newest of {}{held}",
            key.fingerprint.short(),
            counted(key.snapshots, "snapshot"),
            key.newest
        ));
    }
    let width = groups.iter().map(|entry| entry.group.to_string().len()).max().unwrap_or_default().max(5);
    if !groups.is_empty() {
        lines.push(format!(
            "  {:<width$} {:>5}  {:<20} {:>11}  {:<9} {:<23}  {:<8} {}",
            "GROUP", "COUNT", "NEWEST", "SIZE", "CRYPT", "KEY", "VERIFIED", "OWNER"
        ));
    }
    for entry in groups.iter() {
        let newest = &entry.newest;
        let crypt = match newest.crypt {
            Crypt::Encrypt => "encrypt",
            Crypt::SignOnly => "sign-only",
            Crypt::None => "NONE",
            Crypt::Mixed => "MIXED",
            Crypt::Unknown => "unknown",
        };
        let verified = match newest.verified {
            Verified::Never => "never",
            Verified::Ok => "ok",
            Verified::Failed => "FAILED",
            Verified::Unknown => "unknown",
        };
        let owner = newest.owner.as_ref().map(|owner| harmless(owner.as_str(), 64)).unwrap_or_default();
        let protected = if entry.protected > 0 { format!("  ({} protected)", entry.protected) } else { String::new() };
        lines.push(format!(
            "  {:<width$} {:>5}  {:<20} {:>11}  {crypt:<9} {:<23}  {verified:<8} {owner}{protected}",
            entry.group.to_string(),
            entry.count,
            newest.time.to_string(),
            newest.size.map_or("?".to_owned(), size),
            newest.fingerprint.as_ref().map(Fingerprint::short).unwrap_or_default(),
        ));
    }
    for (count, what) in [(keys_left_out, "keys"), (groups_left_out, "groups")] {
        if *count > 0 {
            lines.push(format!("  {count} {what} more are left out: more than the inventory takes"));
        }
    }
}

fn counted(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn of_job(job: &Job) -> String {
    let chosen = match &job.selection {
        Selection::AllBut(excluded) if excluded.is_empty() => "all guests".to_owned(),
        Selection::AllBut(excluded) => format!("all but {} guests", excluded.len()),
        Selection::Listed(listed) => format!("{} guests by number", listed.len()),
        Selection::Nothing => "nothing".to_owned(),
        Selection::Pool(pool) => format!("pool {}", harmless(pool.as_str(), 64)),
    };
    let text = |text: &str| harmless(text, 64);
    let on = job.node.as_ref().map(|node| format!(" on {}", text(node.as_str()))).unwrap_or_default();
    let problem =
        job.problem.as_ref().map(|why| format!("  PROBLEM: {}", harmless(why.as_str(), 400))).unwrap_or_default();
    format!(
        "  {:<24} {:<3}  {:<20} to {:<12} {chosen}{on}: {} here{problem}",
        text(job.id.as_str()),
        if job.enabled { "on" } else { "OFF" },
        text(job.schedule.as_str()),
        job.storage.as_ref().map_or("(vzdump.conf)".to_owned(), |storage| text(storage.as_str())),
        job.guests,
    )
}

fn of_guests(inventory: &Inventory, lines: &mut Vec<String>) {
    if inventory.guests.is_empty() {
        return;
    }
    let uncovered = inventory.uncovered().count();
    lines.push(format!("Guests: {}, {uncovered} of them in no source", inventory.guests.len()));
    for guest in inventory.guests.iter() {
        let name = named(guest);
        match guest.coverage {
            Coverage::Source => {}
            Coverage::Elsewhere => lines.push(format!("  {name}: backed up, but to no source that is in use")),
            Coverage::None => lines.push(format!("  {name}: NO JOB COVERS IT")),
        }
        lines.extend(guest.problem.iter().map(|why| format!("  {name}: PROBLEM: {}", harmless(why.as_str(), 400))));
        for disk in guest.excluded.iter() {
            let why = match disk.why {
                Exclusion::SwitchedOff => "switched off (backup=0)",
                Exclusion::NotSwitchedOn => "not switched on (a mount point needs backup=1)",
                Exclusion::OfTheHost => "a folder or device of the host",
                Exclusion::NoOvmf => "an EFI disk, and the BIOS is not OVMF",
                Exclusion::Unused => "attached to nothing",
                Exclusion::Unreadable => "PVE cannot read that line",
            };
            lines.push(format!(
                "  {name}: not in its backups: {} {}: {why}",
                harmless(disk.disk.as_str(), 32),
                harmless(disk.volume.as_str(), 128)
            ));
        }
    }
}

fn named(guest: &Guest) -> String {
    let kind = match guest.kind {
        GuestKind::Ct => "ct",
        GuestKind::Vm => "vm",
    };
    let name = guest.name.as_ref().map(|name| format!(" {}", harmless(name.as_str(), 64))).unwrap_or_default();
    let template = if guest.template { ", a template" } else { "" };
    format!("{kind}/{}{name} ({}{template})", guest.vmid, harmless(guest.node.as_str(), 64))
}
