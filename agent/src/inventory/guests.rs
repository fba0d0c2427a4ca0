//! What PVE backs up: jobs, guests, and which of them no job covers.

use std::{collections::BTreeSet, num::NonZeroU32};

use pbs_driver::pve::{
    Node, PveError,
    guest_config::{self, GuestConfig, Kind, LeftOut, Placed},
    jobs::{self, BackupJob, Pools},
};
use tenwords_protocol::{
    bounded::{List, Text},
    inventory::{Coverage, Excluded, Exclusion, Guest, GuestKind, Job, Selection},
};

/// Jobs and guests, not yet bounded in number.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) jobs: Vec<Job>,
    pub(crate) guests: Vec<Guest>,
}

/// Reads PVE's files; what cannot be read becomes a problem, and the rest is told.
pub(super) fn look(node: &Node, storages: &BTreeSet<&str>, problems: &mut Vec<String>) -> Work {
    fn or_none<T: Default>(what: &str, read: Result<T, PveError>, problems: &mut Vec<String>) -> T {
        read.unwrap_or_else(|error| {
            problems.push(format!("{what}: {error}"));
            T::default()
        })
    }
    let found = or_none("the backup jobs", jobs::jobs(node), problems);
    let pools = or_none("the pools", Pools::read(node), problems);
    let placed = or_none("the guests", guest_config::all(node), problems);
    Work {
        jobs: found.iter().map(|job| job_entry(job, &placed, &pools)).collect(),
        guests: placed.into_iter().filter_map(|guest| guest_entry(guest, &found, &pools, storages)).collect(),
    }
}

fn job_entry(job: &BackupJob, placed: &[Placed], pools: &Pools) -> Job {
    let covered = placed.iter().filter(|guest| job.covers(guest.vmid, &guest.node, pools)).count();
    let numbers = |list: &BTreeSet<u32>| List::cut(list.iter().filter_map(|vmid| NonZeroU32::new(*vmid))).0;
    let selection = match &job.selection {
        jobs::Selection::AllBut(excluded) => Selection::AllBut(numbers(excluded)),
        jobs::Selection::Listed(listed) => Selection::Listed(numbers(listed)),
        jobs::Selection::Nothing => Selection::Nothing,
        jobs::Selection::Pool(pool) => Selection::Pool(Text::cut(pool)),
    };
    let problem = job.problem.map(str::to_owned).or_else(|| match &job.selection {
        jobs::Selection::Listed(listed) => {
            let missing: Vec<String> = listed
                .iter()
                .filter(|vmid| placed.binary_search_by_key(*vmid, |guest| guest.vmid).is_err())
                .map(u32::to_string)
                .collect();
            (!missing.is_empty()).then(|| format!("it names guests that do not exist: {}", missing.join(", ")))
        }
        jobs::Selection::Pool(pool) if pools.members(pool).is_none() => {
            Some(format!("there is no pool {pool}, so every run fails"))
        }
        _ => None,
    });
    Job {
        id: Text::cut(&job.id),
        enabled: job.enabled,
        schedule: Text::cut(&job.schedule),
        storage: job.storage.as_deref().map(Text::cut),
        node: job.node.as_deref().map(Text::cut),
        selection,
        guests: u64::try_from(covered).unwrap_or(u64::MAX),
        problem: problem.map(|problem| Text::cut(&problem)),
    }
}

fn guest_entry(guest: Placed, jobs: &[BackupJob], pools: &Pools, storages: &BTreeSet<&str>) -> Option<Guest> {
    let Placed { vmid, kind, node, config } = guest;
    let covering = || jobs.iter().filter(|job| job.enabled && job.covers(vmid, &node, pools));
    let coverage = covering()
        .map(|job| match &job.storage {
            Some(storage) if storages.contains(storage.as_str()) => Coverage::Source,
            _ => Coverage::Elsewhere,
        })
        .min()
        .unwrap_or(Coverage::None);
    let names = List::cut(covering().map(|job| Text::cut(&job.id))).0;
    let (config, problem) = match config {
        Ok(config) => (config, None),
        Err(error) => (GuestConfig::default(), Some(Text::cut(&error.to_string()))),
    };
    let excluded = config.disks.iter().filter_map(|disk| {
        let why = match disk.left_out? {
            LeftOut::SwitchedOff => Exclusion::SwitchedOff,
            LeftOut::NotSwitchedOn => Exclusion::NotSwitchedOn,
            LeftOut::OfTheHost => Exclusion::OfTheHost,
            LeftOut::NoOvmf => Exclusion::NoOvmf,
            LeftOut::Unused => Exclusion::Unused,
            LeftOut::Unreadable => Exclusion::Unreadable,
        };
        Some(Excluded { disk: Text::cut(&disk.key), volume: Text::cut(&disk.volume), why })
    });
    Some(Guest {
        vmid: NonZeroU32::new(vmid)?,
        kind: match kind {
            Kind::Container => GuestKind::Ct,
            Kind::Machine => GuestKind::Vm,
        },
        name: config.name.as_deref().map(Text::cut),
        template: config.template,
        coverage,
        jobs: names,
        excluded: List::cut(excluded).0,
        problem,
        node: Text::cut(&node),
    })
}
