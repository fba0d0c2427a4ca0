//! Backup jobs into `jobs.cfg`: at its end, once, never over another, under PVE's own lock.

use std::{fs, time::Duration};

use pbs_driver::pve::{
    PveError,
    jobs::{LostJob, lost_jobs, put},
    secrets::Put,
};

use crate::pve_place::Pve;

const JOB: &str = "vzdump: backup-1\n\tschedule 21:00\n\tall\n\tstorage pbs\n\tcomment the \"night\"\n\n";

fn job(text: &str) -> LostJob {
    lost_jobs(text.as_bytes()).remove(0).unwrap()
}

#[test]
fn a_job_is_put_once_and_every_other_byte_stays() {
    let pve = Pve::new();
    assert_eq!(put(&pve.node, &job(JOB)).unwrap(), Put::Written);
    assert_eq!(fs::read_to_string(pve.etc().join("jobs.cfg")).unwrap(), JOB);
    assert_eq!(put(&pve.node, &job(JOB)).unwrap(), Put::Same);
    let odd = "# by hand\nrealm-sync: x\n\tschedule daily\n\trealm ad";
    pve.write("jobs.cfg", odd.as_bytes());
    put(&pve.node, &job(JOB)).unwrap();
    assert_eq!(fs::read_to_string(pve.etc().join("jobs.cfg")).unwrap(), format!("{odd}\n\n{JOB}"));
}

#[test]
fn another_of_its_id_is_not_touched() {
    for there in [
        "vzdump: backup-1\n\tschedule 22:00\n\tall\n\tstorage pbs\n\tcomment the \"night\"\n\n",
        "vzdump: backup-1\n\tschedule 21:00\n\tall\n\tstorage pbs\n\n",
        "realm-sync: backup-1\n\tschedule 21:00\n\n",
        "vzdump: backup-1\n\tschedule 21:00\n\tscript /x\n\n",
    ] {
        let pve = Pve::new();
        pve.write("jobs.cfg", there.as_bytes());
        assert!(matches!(put(&pve.node, &job(JOB)), Err(PveError::DifferentJob { id }) if id == "backup-1"), "{there}");
        assert_eq!(fs::read_to_string(pve.etc().join("jobs.cfg")).unwrap(), there);
    }
}

#[test]
fn somebody_who_is_at_work_on_it_is_waited_for_and_not_passed() {
    let pve = Pve::new();
    let lock = pve.etc().join("priv/lock/file-jobs_cfg");
    fs::create_dir_all(&lock).unwrap();
    let node = pve.node.clone().with_patience(Duration::from_millis(300));
    assert!(matches!(put(&node, &job(JOB)), Err(PveError::Locked { .. })));
    assert!(!pve.etc().join("jobs.cfg").exists() && lock.exists());
}
