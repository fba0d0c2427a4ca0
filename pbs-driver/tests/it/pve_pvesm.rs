//! What PVE's own program says of the storages.

use std::fs;

use pbs_driver::pve::{
    PveError,
    pvesm::{Activity, status},
};

use crate::{
    place::{Place, write_program},
    pve_place::{Pve, id},
};

const TABLE: &str = "\
Name             Type     Status     Total (KiB)      Used (KiB) Available (KiB)        %
local             dir     active        98497780         6217092        87231140    6.31%
local-lvm     lvmthin     active       832888832               0       832888832    0.00%
nas               nfs   disabled               0               0               0      N/A
pbs1              pbs   inactive               0               0               0    0.00%
";

fn saying(script: &str) -> (Pve, Place) {
    let pve = Pve::new();
    let said = pve.program("said");
    let script = script.replace("$said", &said.display().to_string());
    write_program(&pve.program("pvesm"), &format!("#!/bin/sh\n{script}\n"));
    (pve, Place::new())
}

#[test]
fn the_table_is_read() {
    let (pve, place) = saying(&format!("echo \"$@\" > '$said'; cat <<'END'\n{TABLE}END"));
    let all = status(&pve.node, &place.private, None).unwrap();
    let shown: Vec<_> = all.iter().map(|line| (line.id.as_str(), line.kind.as_str(), line.activity)).collect();
    let expected = [
        ("local", "dir", Activity::Active),
        ("local-lvm", "lvmthin", Activity::Active),
        ("nas", "nfs", Activity::Disabled),
        ("pbs1", "pbs", Activity::Inactive),
    ];
    assert_eq!(shown, expected);
    assert_eq!((all[0].total, all[0].used, all[0].available), (98_497_780, 6_217_092, 87_231_140));
    assert_eq!(fs::read_to_string(pve.program("said")).unwrap(), "status\n");
    status(&pve.node, &place.private, Some(&id("pbs1"))).unwrap();
    assert_eq!(fs::read_to_string(pve.program("said")).unwrap(), "status --storage pbs1\n");
    place.assert_clean();
}

#[test]
fn what_is_not_that_table_is_refused() {
    let (pve, place) = saying("echo header; echo 'local dir working 1 2 3 4'");
    let error = status(&pve.node, &place.private, None).unwrap_err();
    assert!(matches!(&error, PveError::Program { .. }), "{error:?}");
    let (pve, place) = saying("echo \"storage 'pbs9' does not exist\" >&2; exit 25");
    match status(&pve.node, &place.private, Some(&id("pbs9"))) {
        Err(PveError::Refused { said, .. }) => assert_eq!(said, "storage 'pbs9' does not exist"),
        other => panic!("{other:?}"),
    }
    let (pve, place) = saying("exec yes");
    let error = status(&pve.node, &place.private, None).unwrap_err();
    assert!(matches!(&error, PveError::Program { .. }), "{error:?}");
    fs::remove_file(pve.program("pvesm")).unwrap();
    let error = status(&pve.node, &place.private, None).unwrap_err();
    assert!(matches!(&error, PveError::NoProgram { .. }), "{error:?}");
    place.assert_clean();
}
