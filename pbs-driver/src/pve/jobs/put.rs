//! Putting a lost node's backup jobs into `jobs.cfg`: never over another job, and never one that has PVE
//! run, or write, what its text says.
//!
//! A job can name a program of the node that vzdump runs as root before and after each guest (`script`),
//! and folders that it writes to (`dumpdir`, `tmpdir`). So what a stanza may have is a list of what only
//! chooses guests, times and ways; a word that is not in it, one of a later PVE too, keeps the job out.

use super::{super::lock::FileLock, BackupJob, Sections, from_jobs_cfg, switch};
use crate::pve::{
    error::PveError,
    node::Node,
    secrets::Put,
    sections::Section,
    write::{explained, replace},
};

/// A job of another node's `jobs.cfg`, fit to be put into this one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostJob {
    /// What it says.
    pub job: BackupJob,
    /// What it removes of older backups, as it is written.
    pub prunes: Option<String>,
    properties: Vec<(String, String)>,
}

/// A job that is not put anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Its id, as written.
    pub id: String,
    /// Why.
    pub why: String,
}

/// The vzdump jobs of a text, each fit or not.
#[must_use]
pub fn lost_jobs(text: &[u8]) -> Vec<Result<LostJob, Unfit>> {
    let sections = Sections::parse(text);
    let jobs = from_jobs_cfg(text);
    let of_job = |job: BackupJob| {
        let unfit = |why: String| Unfit { id: job.id.clone(), why };
        let section = sections.find(&job.id).ok_or_else(|| unfit("it cannot be found again".to_owned()))?;
        let properties = properties(&section).map_err(unfit)?;
        let prunes = section.get("prune-backups").flatten().map(std::borrow::Cow::into_owned);
        // PVE's own default is the storage's rules; nothing is removed where it is switched off.
        let prunes = prunes.filter(|_| switch(&section, "remove").unwrap_or(true));
        Ok(LostJob { job, prunes, properties })
    };
    jobs.into_iter().map(of_job).collect()
}

/// Puts it at the end of `jobs.cfg`, under PVE's lock for that file, unless it stands there already.
///
/// # Errors
/// As [`Node::writable`], [`PveError::Locked`], [`PveError::Io`]; [`PveError::DifferentJob`] if another
/// stanza has this id, of whatever kind.
pub fn put(node: &Node, lost: &LostJob) -> Result<Put, PveError> {
    let lock = FileLock::of_jobs(node)?;
    let mut sections = Sections::parse(&node.read(FILE)?.unwrap_or_default());
    let id = lost.job.id.as_str();
    if let Some(there) = sections.find(id) {
        let is_same = there.kind() == KIND && properties(&there).is_ok_and(|there| there == lost.properties);
        return if is_same { Ok(Put::Same) } else { Err(PveError::DifferentJob { id: id.to_owned() }) };
    }
    let pairs: Vec<(&str, &str)> = lost.properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    sections.append(KIND, id, &pairs)?;
    explained(node, replace(&lock, &node.file(FILE), MODE, &sections.to_bytes()))?;
    Ok(Put::Written)
}

/// What it has, in order, each once as the first says; or why it is not put in place.
fn properties(section: &Section<'_>) -> Result<Vec<(String, String)>, String> {
    let id = section.id();
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) || id.len() > MAX_ID {
        return Err("its id is not one that Proxmox VE gives".to_owned());
    }
    let mut found: Vec<(String, String)> = Vec::new();
    for property in section.properties() {
        let (key, value) = (property.key.into_owned(), property.value.unwrap_or_default().into_owned());
        if let Some((_, why)) = RUNS.iter().find(|(runs, _)| *runs == key) {
            return Err((*why).to_owned());
        }
        if !CHOOSES.contains(&key.as_str()) {
            return Err("it has a property that is not known to be harmless".to_owned());
        }
        if value.chars().any(|c| c.is_control() || c == '\u{fffd}') {
            return Err(format!("its {key} has a character that no such value has"));
        }
        if !found.iter().any(|(there, _)| *there == key) {
            found.push((key, value));
        }
    }
    Ok(found)
}

const FILE: &str = "jobs.cfg";
const KIND: &str = "vzdump";
const MODE: u32 = 0o640;
const MAX_ID: usize = 64;

/// What has a program of the node run, or files written where the text says.
const RUNS: [(&str, &str); 3] = [
    ("dumpdir", "it writes to a folder of the node (dumpdir)"),
    ("script", "it has a program of the node run before and after each backup (script)"),
    ("tmpdir", "it writes to a folder of the node (tmpdir)"),
];

/// PVE's properties of a vzdump job (pve-guest-common `VZDump/Common.pm`, pve-manager `Jobs/VZDump.pm`)
/// but those.
const CHOOSES: [&str; 36] = [
    "all",
    "bwlimit",
    "comment",
    "compress",
    "dow",
    "enabled",
    "exclude",
    "exclude-path",
    "fleecing",
    "id",
    "ionice",
    "job-id",
    "lockwait",
    "mailnotification",
    "mailto",
    "maxfiles",
    "mode",
    "node",
    "notes-template",
    "notification-mode",
    "notification-policy",
    "notification-target",
    "pbs-change-detection-mode",
    "performance",
    "pigz",
    "pool",
    "protected",
    "prune-backups",
    "quiet",
    "remove",
    "repeat-missed",
    "schedule",
    "starttime",
    "stdexcludes",
    "storage",
    "vmid",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn one(lines: &str) -> Result<LostJob, String> {
        let text = format!("vzdump: backup-1\n\tschedule 21:00\n{lines}\n");
        let mut jobs = lost_jobs(text.as_bytes());
        assert_eq!(jobs.len(), 1);
        jobs.remove(0).map_err(|unfit| unfit.why)
    }

    #[test]
    fn a_job_that_would_run_or_write_something_is_unfit() {
        for (lines, why) in [
            ("\tall 1\n\tscript /root/hook.pl", "script"),
            ("\tscript\n\tall 1", "script"),
            ("\tall 1\n\tdumpdir /etc/cron.d", "dumpdir"),
            ("\tall 1\n\ttmpdir /etc/cron.d", "tmpdir"),
            ("\tall 1\n\thook x", "not known"),
            ("\tall 1\n\tcomment a\u{1b}[2Jb", "comment"),
            ("\tall 1\n\tScript /x", "not known"),
        ] {
            let seen = one(lines);
            assert!(seen.as_ref().is_err_and(|seen| seen.contains(why)), "{lines}: {seen:?}");
        }
        // A stanza that is hidden behind another of its id does not count, for PVE neither.
        let text = "vzdump: a\n\tscript /x\n\tall 1\n\nvzdump: a\n\tall 1\n\tschedule 1:00\n";
        assert!(matches!(&lost_jobs(text.as_bytes())[..], [Ok(_)]));
        let odd = lost_jobs("vzdump: a;b\n\tall 1\n\tschedule 1:00\n".as_bytes());
        assert!(matches!(&odd[..], [Err(unfit)] if unfit.id == "a;b"));
    }

    #[test]
    fn what_it_removes_is_told() {
        let told = |lines: &str| one(lines).map(|job| job.prunes);
        assert_eq!(told("\tall 1\n\tprune-backups keep-last=3"), Ok(Some("keep-last=3".to_owned())));
        assert_eq!(told("\tall 1\n\tprune-backups keep-last=3\n\tremove 0"), Ok(None));
        assert_eq!(told("\tall 1"), Ok(None));
    }
}
