//! One suite, mounted twice: on `pbs-local` always, on the real client when `TENWORDS_PBS_CLIENT`
//! names one. Nothing in the suite knows which one it drives.
//!
//! | variable | for |
//! | --- | --- |
//! | `TENWORDS_PBS_CLIENT` | the half without a server |
//! | `PBS_REPOSITORY`, `PBS_PASSWORD`, `PBS_FINGERPRINT` | the halves with data: a server, and a token that may back up and restore there |
//! | `TENWORDS_PBS_MANAGER`, `TENWORDS_PBS_STORES` | that server's `proxmox-backup-manager` and a folder in which it may make datastores: then the suite makes a datastore and users of its own, and can refuse tokens, close the datastore and damage its files |
//!
//! On what it runs is always printed: client, server, and the version that each says of itself. A half
//! that cannot run prints `SKIPPED` and why; `--nocapture` shows that.

mod damage;
mod data;
mod hand;
mod hostile_tls;
mod keys;
mod mount;
mod refusals;
mod targets;

use mount::Mount;

use crate::place::rerun;

#[test]
fn pbs_local_and_keys() {
    keys::keys(&Mount::on_pbs_local());
}

#[test]
fn pbs_local_and_keys_without_a_controlling_terminal() {
    rerun("conformance::pbs_local_and_keys", &["setsid", "--wait"], &[]);
}

#[test]
fn s51_no_client_and_other_programs() {
    keys::other_programs(&Mount::on_pbs_local());
}

#[test]
fn pbs_local_and_data() {
    data::data(&Mount::on_pbs_local());
}

#[test]
fn pbs_local_and_namespaces() {
    data::namespaces(&Mount::on_pbs_local());
}

#[test]
fn s38_pbs_local_and_refusals() {
    refusals::refusals(&Mount::on_pbs_local());
}

#[test]
fn s66_pbs_local_and_damage() {
    damage::damage(&Mount::on_pbs_local());
}

#[test]
fn pbs_local_and_targets() {
    targets::targets(&Mount::on_pbs_local());
}

#[test]
fn pbs_local_and_a_full_disk() {
    targets::with_a_small_disk("conformance::pbs_local_where_it_may_mount");
}

/// Started again by the test above, where it may mount.
#[test]
fn pbs_local_where_it_may_mount() {
    if targets::is_inside() {
        targets::disk_full(&Mount::on_pbs_local());
    }
}

#[test]
fn the_real_client_and_keys() {
    if let Some(mount) = Mount::client_only("keys") {
        keys::keys(&mount);
    }
}

#[test]
fn the_real_client_and_keys_without_a_controlling_terminal() {
    rerun("conformance::the_real_client_and_keys", &["setsid", "--wait"], &[]);
}

#[test]
fn the_real_client_and_data() {
    if let Some(mount) = Mount::on_the_real_server("data") {
        data::data(&mount);
    }
}

#[test]
fn the_real_client_and_namespaces() {
    if let Some(mount) = Mount::on_the_real_server("namespaces") {
        data::namespaces(&mount);
    }
}

#[test]
fn s38_the_real_client_and_refusals() {
    if let Some(mount) = Mount::on_the_real_server("refusals") {
        refusals::refusals(&mount);
    }
}

#[test]
fn s66_the_real_client_and_damage() {
    if let Some(mount) = Mount::on_the_real_server("damage") {
        damage::damage(&mount);
    }
}

#[test]
fn the_real_client_and_targets() {
    if let Some(mount) = Mount::on_the_real_server("targets") {
        targets::targets(&mount);
    }
}

#[test]
fn the_real_client_and_a_full_disk() {
    targets::with_a_small_disk("conformance::the_real_client_where_it_may_mount");
}

/// Started again by the test above, where it may mount.
#[test]
fn the_real_client_where_it_may_mount() {
    if targets::is_inside()
        && let Some(mount) = Mount::on_the_real_server("disk full")
    {
        targets::disk_full(&mount);
    }
}

#[test]
fn s67_the_real_client_and_a_certificate_that_the_system_trusts() {
    hostile_tls::with_a_trusted_authority("conformance::the_real_client_where_an_authority_is_trusted");
}

/// Started again by the test above, with the authority in its environment.
#[test]
fn the_real_client_where_an_authority_is_trusted() {
    if let Some(key) = hostile_tls::authority_key()
        && let Some(mount) = Mount::client_only("hostile TLS")
    {
        hostile_tls::hostile(&mount, &key);
    }
}
