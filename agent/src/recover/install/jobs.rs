//! The lost box's backup jobs: offered one by one, and put into `jobs.cfg` where somebody wants them.
//!
//! A job that would have a program of the node run, or that would back up something that is not here, is
//! told with its reason and left: it stands in the recovered file.

use std::collections::BTreeSet;

use pbs_driver::pve::{
    Node, StorageCfg, guests,
    jobs::{BackupJob, LostJob, Pools, Selection, Unfit, lost_jobs, put},
    secrets::Put,
};
use tenwords_escrow::root::FileSecret;

use super::Installed;
use crate::{
    cli,
    exit::{Code, OrStop as _, Outcome},
    interrupt,
    recover::{plan::chain, report::Missing},
    seat::Seat,
    show::harmless,
};

/// What of a job has to be here.
struct Ground {
    node: String,
    storages: StorageCfg,
    guests: BTreeSet<u32>,
    pools: Pools,
}

/// Offers every job of the root's `jobs.cfg`, after the guests are back.
pub(crate) fn offer(
    installed: &mut Installed,
    node: Option<&Node>,
    files: &[FileSecret],
    args: &cli::Recover,
    seat: &mut dyn Seat,
) {
    let Some(node) = node else { return };
    let Some(file) = files.iter().find(|file| file.path.as_str().ends_with("/jobs.cfg")) else { return };
    let jobs = lost_jobs(file.data.expose_bytes());
    if jobs.is_empty() {
        return;
    }
    let ground = match Ground::look(node) {
        Ok(ground) => ground,
        Err(stop) => return installed.notes.push(format!("no backup job is put in place: {}", stop.in_one_line())),
    };
    for job in jobs {
        let job = match job {
            Ok(job) => job,
            Err(Unfit { id, why }) => {
                installed.notes.push(format!("the backup job {} is not put in place: {why}", harmless(&id, 64)));
                continue;
            }
        };
        let id = harmless(&job.job.id, 64);
        if let Some(why) = ground.lacks(&job.job) {
            installed.notes.push(format!("the backup job {id} is not put in place: {why}"));
            continue;
        }
        match is_wanted(&job, args, seat) {
            Ok(true) => place(installed, node, &job),
            Ok(false) => installed.notes.push(format!("the backup job {id} is not put in place: nobody wanted it")),
            Err(why) => installed.notes.push(format!("the backup job {id} is not put in place: {why}")),
        }
    }
}

fn place(installed: &mut Installed, node: &Node, job: &LostJob) {
    let id = harmless(&job.job.id, 64);
    match put(node, job) {
        Ok(Put::Written) => {
            let path = node.file("jobs.cfg");
            if !installed.paths.contains(&path) {
                installed.paths.push(path);
            }
            installed.notes.push(format!("the backup job {id} is in place: {}", told(job)));
        }
        Ok(Put::Same) => installed.notes.push(format!("the backup job {id} is in place already")),
        Err(error) => installed.missing.push(Missing {
            what: format!("the backup job {id}"),
            why: chain(&error),
            remedy: error.next_step().to_owned(),
            waits_for_order: false,
        }),
    }
}

/// By the command line, else by whoever sits there.
fn is_wanted(job: &LostJob, args: &cli::Recover, seat: &mut dyn Seat) -> Result<bool, String> {
    match (args.install_jobs, args.no_install_jobs) {
        (true, _) => return Ok(true),
        (_, true) => return Ok(false),
        (false, false) => {}
    }
    if interrupt::is_ending() {
        return Err("interrupted".to_owned());
    }
    let nobody = |_| "there is nobody to ask (--install-jobs puts it in place)".to_owned();
    seat.is_taken().map_err(nobody)?;
    let talk = seat.talk();
    seat.say(&(talk.job_of_lost)(&harmless(&job.job.id, 64), &told(job)));
    seat.decide(talk.put_job).map_err(|_| "nobody answered".to_owned())
}

/// When, to where, of whom; as it is written.
fn told(job: &LostJob) -> String {
    let BackupJob { schedule, storage, enabled, selection, .. } = &job.job;
    let guests = match selection {
        Selection::AllBut(none) if none.is_empty() => "all guests".to_owned(),
        Selection::AllBut(some) => format!("all guests but {}", list(some)),
        Selection::Listed(some) => format!("guests {}", list(some)),
        Selection::Pool(pool) => format!("the pool {pool}"),
        Selection::Nothing => "no guest".to_owned(),
    };
    let storage = storage.as_deref().unwrap_or("-");
    let pruned = job.prunes.as_ref().map(|rule| format!(", and keeps {rule}")).unwrap_or_default();
    let off = if *enabled { "" } else { " (switched off)" };
    harmless(&format!("{guests} to {storage} at {schedule}{pruned}{off}"), 300)
}

fn list(numbers: &BTreeSet<u32>) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

impl Ground {
    fn look(node: &Node) -> Outcome<Self> {
        let cannot = || "what is on this node cannot be told".to_owned();
        Ok(Self {
            node: node.name().or_stop(Code::Preflight, cannot)?,
            storages: StorageCfg::read(node).or_stop(Code::Preflight, cannot)?,
            guests: guests::existing(node).or_stop(Code::Preflight, cannot)?.into_iter().map(|it| it.vmid).collect(),
            pools: Pools::read(node).or_stop(Code::Preflight, cannot)?,
        })
    }

    /// What a job needs and is not here.
    fn lacks(&self, job: &BackupJob) -> Option<String> {
        if let Some(problem) = job.problem {
            return Some(problem.to_owned());
        }
        let why = match &job.storage {
            None => Some("it names no storage, and leaves that to a file of the lost node (vzdump.conf)".to_owned()),
            Some(storage) if self.storages.sections().find(storage).is_none() => {
                Some(format!("there is no storage {storage} here"))
            }
            Some(_) => None,
        };
        let why = why.or_else(|| match &job.node {
            Some(node) if *node != self.node => Some(format!("it is for node {node}, and this is {}", self.node)),
            _ => None,
        });
        let why = why.or_else(|| match &job.selection {
            Selection::Listed(listed) => {
                let missing: BTreeSet<u32> = listed.difference(&self.guests).copied().collect();
                (!missing.is_empty()).then(|| format!("guests {} are not here", list(&missing)))
            }
            Selection::Pool(pool) if self.pools.members(pool).is_none() => {
                Some(format!("there is no pool {pool} here"))
            }
            _ => None,
        });
        why.map(|why| harmless(&why, 200))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(lines: &str) -> Option<String> {
        let ground = Ground {
            node: "pve2".to_owned(),
            storages: StorageCfg::parse(b"pbs: pbs\n\tserver h\n\tdatastore s\n\n"),
            guests: [101, 102].into(),
            pools: Pools::parse(b"pool:shop::101:\n"),
        };
        let text = format!("vzdump: a\n\tschedule 21:00\n{lines}\n");
        let job = lost_jobs(text.as_bytes()).pop()?.ok()?;
        ground.lacks(&job.job)
    }

    #[test]
    fn a_job_is_offered_where_all_that_it_names_is_here() {
        for (lines, why) in [
            ("\tstorage pbs\n\tall 1", None),
            ("\tstorage pbs\n\tvmid 101,102", None),
            ("\tstorage pbs\n\tpool shop", None),
            ("\tstorage pbs\n\tall 1\n\tnode pve2", None),
            ("\tall 1", Some("names no storage")),
            ("\tstorage other\n\tall 1", Some("no storage other")),
            ("\tstorage pbs\n\tvmid 101,103", Some("guests 103 are not here")),
            ("\tstorage pbs\n\tpool bar", Some("no pool bar")),
            ("\tstorage pbs\n\tall 1\n\tnode pve1", Some("for node pve1")),
            ("\tstorage pbs\n\tvmid 101\n\tall 1", Some("every run fails")),
        ] {
            let seen = lacks(lines);
            let fits = match why {
                Some(why) => seen.as_ref().is_some_and(|seen| seen.contains(why)),
                None => seen.is_none(),
            };
            assert!(fits, "{lines}: {seen:?}");
        }
    }
}
