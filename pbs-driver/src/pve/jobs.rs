//! vzdump's backup jobs: which there are, and which guests each covers.
//!
//! The rules are PVE's own (pve-manager `PVE/VZDump.pm` and `PVE/API2/VZDump.pm`, pve-guest-common
//! `VZDump/Common.pm`, pve-common `Job/Registry.pm` and `SectionConfig.pm`, pve-access-control
//! `AccessControl.pm`); some surprise:
//!
//! - A pool comes before everything else: with one, `exclude` and `all` mean nothing. Members of its
//!   subpools do not belong to it.
//! - `exclude` without a pool means `all`, whatever `all` says.
//! - A list with one word that is no guest's number counts as not written at all.
//! - `enabled yes` switches a job *off*: the word passes PVE's check and is then made a number.
//! - Two ways of choosing at once (`vmid` with `all`, `exclude` or `pool`) make every run fail.
//!
//! A job covers what it chooses when it is enabled and without a problem; that is stricter than the
//! web interface's own list of guests without a backup, which counts jobs that are switched off.

mod put;

use std::collections::{BTreeMap, BTreeSet};

pub use put::{LostJob, Unfit, lost_jobs, put};

use super::{
    error::PveError,
    node::Node,
    sections::{Section, Sections},
};

/// A backup job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupJob {
    /// Its id in `jobs.cfg`, or `vzdump.cron:<line>`.
    pub id: String,
    /// Whether it runs at all.
    pub enabled: bool,
    /// When, as it is written: a calendar event, or the five fields of a crontab.
    pub schedule: String,
    /// The storage it writes to; `None` leaves it to each node's `/etc/vzdump.conf`.
    pub storage: Option<String>,
    /// The one node on which it runs.
    pub node: Option<String>,
    /// Which guests.
    pub selection: Selection,
    /// Why no run of it can succeed.
    pub problem: Option<&'static str>,
}

/// Which guests a job chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every guest of the cluster but these.
    AllBut(BTreeSet<u32>),
    /// These.
    Listed(BTreeSet<u32>),
    /// Nothing that PVE would understand.
    Nothing,
    /// The members of a pool.
    Pool(String),
}

/// The guests of each pool of `user.cfg`, by its full name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pools(BTreeMap<String, BTreeSet<u32>>);

/// All jobs: those of `jobs.cfg`, then those of the older `vzdump.cron`.
///
/// # Errors
/// As [`Node::readable`] and [`Node::read`].
pub fn jobs(node: &Node) -> Result<Vec<BackupJob>, PveError> {
    node.readable()?;
    let mut jobs = from_jobs_cfg(&node.read("jobs.cfg")?.unwrap_or_default());
    jobs.extend(from_cron(&node.read("vzdump.cron")?.unwrap_or_default()));
    Ok(jobs)
}

/// The jobs of a `jobs.cfg`; sections of other kinds are passed over.
#[must_use]
pub fn from_jobs_cfg(text: &[u8]) -> Vec<BackupJob> {
    let sections = Sections::parse(text);
    // Of two sections with one id the later counts, in the place of the later.
    let mut jobs: Vec<BackupJob> = Vec::new();
    for section in sections.iter() {
        jobs.retain(|job| job.id != section.id());
        if section.kind() == "vzdump" {
            jobs.push(understand(&section));
        }
    }
    jobs
}

/// The jobs of a `vzdump.cron`, as PVE up to 7.0 wrote it; other lines are passed over, as PVE does.
#[must_use]
pub fn from_cron(text: &[u8]) -> Vec<BackupJob> {
    let text = String::from_utf8_lossy(text);
    text.lines().enumerate().filter_map(|(index, line)| cron_job(index + 1, line)).collect()
}

impl BackupJob {
    /// Whether a run would back this guest up, were the job enabled.
    #[must_use]
    pub fn covers(&self, vmid: u32, node: &str, pools: &Pools) -> bool {
        let chosen = match &self.selection {
            Selection::AllBut(excluded) => !excluded.contains(&vmid),
            Selection::Listed(listed) => listed.contains(&vmid),
            Selection::Nothing => false,
            Selection::Pool(pool) => pools.members(pool).is_some_and(|members| members.contains(&vmid)),
        };
        chosen && self.problem.is_none() && self.node.as_ref().is_none_or(|only| only == node)
    }
}

impl Pools {
    /// The node's.
    ///
    /// # Errors
    /// As [`Node::readable`] and [`Node::read`].
    pub fn read(node: &Node) -> Result<Self, PveError> {
        node.readable()?;
        Ok(Self::parse(&node.read("user.cfg")?.unwrap_or_default()))
    }

    /// The pools of a `user.cfg`: `pool:<name>:<comment>:<guests>:<storages>:`. A guest belongs to the
    /// first pool that names it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let (mut pools, mut taken) = (BTreeMap::<String, BTreeSet<u32>>::new(), BTreeSet::new());
        for line in String::from_utf8_lossy(text).lines() {
            let mut fields = line.split(':').map(str::trim);
            if fields.next() != Some("pool") {
                continue;
            }
            let (Some(name), _comment, guests) = (fields.next(), fields.next(), fields.next()) else { continue };
            let members = pools.entry(name.to_owned()).or_default();
            for word in words(guests.unwrap_or_default()) {
                if let Some(vmid) = number(word).filter(|vmid| taken.insert(*vmid)) {
                    members.insert(vmid);
                }
            }
        }
        Self(pools)
    }

    /// The guests of this pool; `None` if there is no such pool.
    #[must_use]
    pub fn members(&self, pool: &str) -> Option<&BTreeSet<u32>> {
        self.0.get(pool)
    }
}

/// What a job says, however it is written.
#[derive(Default)]
struct Written {
    all: Option<bool>,
    vmid: Option<String>,
    exclude: Option<String>,
    pool: Option<String>,
}

impl Written {
    /// PVE's own checks and order (`verify_vzdump_parameters`, `get_included_guests`).
    fn selection(&self) -> (Selection, Option<&'static str>) {
        let vmid = self.vmid.as_deref().and_then(list);
        let exclude = self.exclude.as_deref().and_then(list);
        let all = self.all == Some(true);
        match (&self.pool, vmid) {
            (Some(_), Some(_)) => (Selection::Nothing, Some("it names both guests and a pool, so every run fails")),
            (None, Some(_)) if all || exclude.is_some() => {
                (Selection::Nothing, Some("it names both guests and all but some, so every run fails"))
            }
            (Some(pool), None) => (Selection::Pool(pool.clone()), None),
            (None, Some(listed)) => (Selection::Listed(listed), None),
            (None, None) if all || exclude.is_some() => (Selection::AllBut(exclude.unwrap_or_default()), None),
            (None, None) if self.vmid.is_some() => {
                (Selection::Nothing, Some("its list of guests holds something that is no guest's number"))
            }
            (None, None) => (Selection::Nothing, Some("it chooses no guests")),
        }
    }
}

fn understand(section: &Section<'_>) -> BackupJob {
    let text = |key: &str| section.get(key).flatten().map(std::borrow::Cow::into_owned);
    let written =
        Written { all: switch(section, "all"), vmid: text("vmid"), exclude: text("exclude"), pool: text("pool") };
    let (selection, problem) = written.selection();
    let schedule = text("schedule");
    BackupJob {
        id: section.id().into_owned(),
        enabled: switch(section, "enabled").unwrap_or(true),
        problem: if schedule.is_none() { Some("it has no schedule, so it never runs") } else { problem },
        schedule: schedule.unwrap_or_default(),
        storage: text("storage"),
        node: text("node"),
        selection,
    }
}

/// A switch as PVE's section files have it; `None` for one that is not there or not understood.
fn switch(section: &Section<'_>, key: &str) -> Option<bool> {
    match section.get(key)? {
        None => Some(true),
        Some(word) if word == "1" => Some(true),
        Some(word) => is_switch(&word).then_some(false),
    }
}

fn is_switch(word: &str) -> bool {
    ["0", "off", "no", "false", "1", "on", "yes", "true"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// `<minute> <hour> * * <days> root [<path>/][#]vzdump <options and guests>`
fn cron_job(number: usize, line: &str) -> Option<BackupJob> {
    let (mut fields, mut rest) = (Vec::new(), line.trim_end());
    for _ in 0..6 {
        let (field, after) = rest.split_once(char::is_whitespace)?;
        fields.push(field);
        rest = after.trim_start();
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let [minute, hour, "*", "*", _days, "root"] = fields[..] else { return None };
    if !digits(minute) || !digits(hour) {
        return None;
    }
    let (command, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = if command.starts_with('/') { command.rsplit('/').next()? } else { command };
    let enabled = match command {
        "vzdump" => true,
        "#vzdump" => false,
        _ => return None,
    };
    let options = Options::read(arguments);
    let (selection, problem) = options.written.selection();
    let schedule = fields[..5].join(" ");
    let id = format!("vzdump.cron:{number}");
    Some(BackupJob { id, enabled, schedule, storage: options.storage, node: options.node, selection, problem })
}

/// The options of a crontab's vzdump.
#[derive(Default)]
struct Options {
    written: Written,
    storage: Option<String>,
    node: Option<String>,
}

impl Options {
    fn read(arguments: &str) -> Self {
        let mut options = Self::default();
        let mut guests: Vec<String> = Vec::new();
        let mut words = split(arguments).into_iter().peekable();
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                guests.push(word);
                continue;
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, words.next_if(|next| !next.starts_with('-'))),
            };
            match name {
                "all" => {
                    options.written.all =
                        Some(value.is_none_or(|value| !matches!(&*value, "0" | "off" | "no" | "false")))
                }
                "exclude" => options.written.exclude = value,
                "node" => options.node = value,
                "pool" => options.written.pool = value,
                "storage" => options.storage = value,
                _ => {}
            }
        }
        options.written.vmid = (!guests.is_empty()).then(|| guests.join(","));
        options
    }
}

/// Words, with the quotation marks of a shell taken off.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if matches!(c, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// PVE's lists: separated by blanks, commas or semicolons.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | ';')).filter(|word| !word.is_empty())
}

/// A list of guests' numbers; one word that is none spoils it.
fn list(text: &str) -> Option<BTreeSet<u32>> {
    let numbers: Option<BTreeSet<u32>> = words(text).map(number).collect();
    numbers.filter(|numbers| !numbers.is_empty())
}

/// A guest's number: 100 to 999999999.
pub(super) fn number(word: &str) -> Option<u32> {
    let fine = (3..=9).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit()) && !word.starts_with('0');
    fine.then(|| word.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOLS: &str = "user:root@pam:1:0::::::\npool:shop::100,101;200 201:local:\npool:shop/web::102:\n\
                         pool:other:a%3ab:101,9,x103, 104::\nacl:1:/pool/shop:u@pve:PVEAdmin:\n";

    /// Which of eight guests on two nodes (1xx on `one`, 2xx on `two`) a job covers.
    fn covered(job: &BackupJob) -> Vec<u32> {
        let pools = Pools::parse(POOLS.as_bytes());
        let node = |vmid: u32| if vmid < 200 { "one" } else { "two" };
        [100, 101, 102, 104, 200, 201, 212, 213]
            .into_iter()
            .filter(|vmid| job.covers(*vmid, node(*vmid), &pools))
            .collect()
    }

    #[test]
    fn a_job_covers_what_pve_would_back_up() {
        let all = [100, 101, 102, 104, 200, 201, 212, 213];
        for (lines, expected) in [
            ("all 1", &all[..]),
            ("all", &all),
            ("all 1\n\tnode two", &all[4..]),
            ("all 1\n\texclude 100, 102;200 201", &[101, 104, 212, 213]),
            ("exclude 100", &all[1..]),
            ("all 0\n\texclude 100", &all[1..]),
            // What cannot be read excludes nothing.
            ("all 1\n\texclude 100,x", &all),
            ("vmid 100,201 212", &[100, 201, 212]),
            ("vmid 100,201\n\tnode one", &[100]),
            ("vmid 201\n\tnode one", &[]),
            ("vmid 7654", &[]),
            ("all 0\n\tvmid 100", &[100]),
            ("pool shop", &[100, 101, 200, 201]),
            ("pool shop\n\tnode two", &[200, 201]),
            ("pool shop\n\texclude 100\n\tall 1", &[100, 101, 200, 201]),
            ("pool shop/web", &[102]),
            ("pool other", &[104]),
            ("pool nosuch", &[]),
            ("vmid 100,10x", &[]),
            ("vmid 099", &[]),
            ("vmid 100\n\tall 1", &[]),
            ("vmid 100\n\texclude 101", &[]),
            ("vmid 100\n\tpool shop", &[]),
            ("mode snapshot", &[]),
            // The first of two counts.
            ("vmid 100\n\tvmid 101", &[100]),
        ] {
            let text = format!("vzdump: backup-1\n\t{lines}\n\tschedule 21:00\n");
            let jobs = from_jobs_cfg(text.as_bytes());
            assert_eq!(jobs.len(), 1, "{lines}");
            assert_eq!(covered(&jobs[0]), expected, "{lines}");
        }
    }

    #[test]
    fn what_a_job_says_is_kept_and_other_sections_are_passed_over() {
        let text = "# made by hand\nvzdump: backup-a\n\tschedule mon..fri 02:30\n\tstorage pbs\n\tenabled 0\n\tall 1\n\n\
                    realm-sync: x\n\tschedule daily\n\nvzdump: backup-b\n\tenabled yes\n\tschedule 21:00\n\tvmid 100\n\n\
                    vzdump: backup-c\n\tenabled maybe\n\tschedule sun\n\tpool p\n\tnode one\n\nvzdump: backup-d\n\tall 1\n\n\
                    vzdump: backup-a\n\tschedule 01:00\n\tall 1\n";
        let jobs = from_jobs_cfg(text.as_bytes());
        let seen: Vec<_> = jobs.iter().map(|job| (job.id.as_str(), job.enabled, job.schedule.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("backup-b", false, "21:00"),
                ("backup-c", true, "sun"),
                ("backup-d", true, ""),
                ("backup-a", true, "01:00")
            ]
        );
        assert_eq!(jobs[1].node.as_deref(), Some("one"));
        assert!(jobs[2].problem.is_some_and(|why| why.contains("schedule")) && covered(&jobs[2]).is_empty());
        assert_eq!((jobs[3].storage.as_deref(), jobs[0].storage.as_deref()), (None, None));
    }

    #[test]
    fn a_crontab_of_old_is_read_as_pve_reads_it() {
        let text = "PATH=\"/usr/sbin:/usr/bin:/sbin:/bin\"\n\n\
                    15 0 * * *           root vzdump 100 201 --mode snapshot --storage pbs --quiet 1\n\
                    0 2 * * 6 root #vzdump --all 1 --exclude 100,101 --mailto 'a b@x' --storage=\"pbs two\"\n\
                    0 3 * * sun root /usr/sbin/vzdump --pool shop --node one\n\
                    0 3 1 * * root vzdump --all 1\n\
                    x 3 * * * root vzdump --all 1\n\
                    0 4 * * * root rsync vzdump\n0 4 * * *\n\
                    0 5 * * * root vzdump --quiet 1 --all 0\n";
        let jobs = from_cron(text.as_bytes());
        let seen: Vec<_> = jobs.iter().map(|job| (job.id.as_str(), job.enabled, covered(job))).collect();
        assert_eq!(
            seen,
            [
                ("vzdump.cron:3", true, vec![100, 201]),
                ("vzdump.cron:4", false, vec![102, 104, 200, 201, 212, 213]),
                ("vzdump.cron:5", true, vec![100, 101]),
                ("vzdump.cron:10", true, vec![]),
            ]
        );
        assert_eq!(jobs[0].schedule, "15 0 * * *");
        assert_eq!(jobs[1].storage.as_deref(), Some("pbs two"));
    }

    #[test]
    fn nothing_of_a_hostile_text_is_more_than_text() {
        for text in [
            "vzdump: \u{1b}[2J\n\tvmid 100\u{202e}\n",
            "vzdump: a\n\tvmid",
            "pool",
            "pool:",
            "\0",
            "0 0 * * * root vzdump '",
        ] {
            assert!(from_jobs_cfg(text.as_bytes()).iter().all(|job| covered(job).is_empty()));
            assert!(from_cron(text.as_bytes()).iter().all(|job| covered(job).is_empty()));
            drop(Pools::parse(text.as_bytes()));
        }
        let huge = format!("vzdump: a\n\tschedule x\n\tvmid {}\n", "100,".repeat(200_000));
        assert_eq!(covered(&from_jobs_cfg(huge.as_bytes())[0]), [100]);
    }
}
