use super::*;

fn named(task: &str, said: &str) -> String {
    let failure = name(900, task.as_bytes(), said.as_bytes(), &["a-secret-token-of-ours"]);
    assert!(!failure.next_step().is_empty());
    let text = format!("{failure:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

#[test]
fn every_text_of_the_sources_has_its_name() {
    let client = "unable to restore CT 900 - command '/usr/bin/proxmox-backup-client restore '--crypt-mode=encrypt' \
                      '--keyfd=9' ct/100/2026-01-01T00:00:00Z root.pxar /var/lib/lxc/900/rootfs --allow-existing-dirs \
                      --repository u@pbs@h:store' failed: exit code 255\n";
    let disk = "command '/usr/bin/pbs-restore --repository u@pbs@h:store vm/1/2026-01-01T00:00:00Z \
                    drive-scsi0.img.fidx /dev/x --verbose' failed: exit code 255\n";
    for (task, said, expected) in [
            ("", "CT 900 already exists on node 'pve1'\n", "Exists"),
            ("", "unable to restore VM 900 - VM 900 already exists on node 'pve1'\n", "Exists"),
            ("", "unable to restore CT 900 - CT is locked (backup)\n", "Locked"),
            (
                "",
                "unable to restore VM 900 - can't lock file '/var/lock/qemu-server/lock-900.conf' - got timeout\n",
                "Locked",
            ),
            (
                "",
                "trying to acquire lock...\ncan't lock file '/run/lock/lxc/pve-config-900.lock' - got timeout\n",
                "Locked",
            ),
            ("", "please run as root\n", "NotRoot"),
            ("", "cluster not ready - no quorum?\n", "NoQuorum"),
            ("", "403 Permission check failed (/storage/local, Datastore.AllocateSpace)\n", "NoRights"),
            ("", "unable to restore CT 900 - protection mode enabled\n", "Protected"),
            ("", "can't overwrite running container\n", "Running"),
            ("", "unable to restore VM 900 - vm is running\n", "Running"),
            ("", "storage 'nope' does not exist\n", "StorageMissing"),
            ("", "storage 'x' is disabled\n", "StorageUnusable"),
            (
                "",
                "400 Parameter verification failed.\nstorage: storage 'pbs' does not support container directories\n\
                 pct restore <vmid> <ostemplate> [OPTIONS]\n",
                "StorageUnusable",
            ),
            ("", "Content type 'images' is not available on storage 'local'\n", "StorageUnusable"),
            ("", "unable to restore CT 900 - zfs error: cannot create 'rpool/x': out of space\n", "StorageFull"),
            (
                "qemu-img: /x: No space left on device\n",
                "unable to restore CT 900 - unable to create image: qemu-img: /x: No space left on device\n",
                "StorageFull",
            ),
            (
                "",
                "unable to restore CT 900 - encryption configured ('aa:bb') but no encryption key file found!\n",
                "KeyMissing",
            ),
            (
                "",
                "executable not found '/usr/bin/proxmox-backup-client'! Proxmox backup client not installed?\n",
                "NoClient",
            ),
            ("", "unable to parse PBS volume name 'backup/ct/a_b/x'\n", "Backup"),
            ("", "backup does not look like a qemu-server backup (missing 'qemu-server.conf' file)\n", "Backup"),
            ("Error: snapshot ct/100/2026-01-01T00:00:00Z does not exist.\n", client, "Client"),
            ("", "unable to restore CT 900 - received interrupt\n", "Interrupted"),
            ("", "interrupted by signal\n", "Interrupted"),
            ("", &client.replace("exit code 255", "got signal 15"), "Interrupted"),
            ("", &client.replace("exit code 255", "received interrupt"), "Interrupted"),
            ("restore failed: write_data_callback failed (-28)\n", disk, "Client"),
            (
                "blk_pwrite failed at offset 4194304 length 4194304 (-28) - No space left on device\n\
                 restore failed: write_data_callback failed (-28)\n",
                disk,
                "StorageFull",
            ),
            (
                "temporary volume 'local:904/vm-904-disk-0.raw' successfully removed\n",
                &disk.replace("exit code 255", "open3: exec of /usr/bin/pbs-restore --repository u@pbs@h:store failed: No such file or directory at Cmd.pm line 175."),
                "NoProgram",
            ),
            ("", &disk.replace("exit code 255", "interrupted by signal"), "Interrupted"),
            ("", "perl: warning: Setting locale failed.\nCT 900 already exists on node 'pve1'\n", "Exists"),
            ("", "something that nobody has seen\n", "Unknown"),
            ("", "", "Unknown"),
        ] {
            assert_eq!(named(task, said), expected, "{said}");
        }
}

#[test]
fn the_clients_words_inside_are_read_by_the_clients_table() {
    let said = "command '/usr/bin/pbs-restore x' failed: exit code 255";
    let task = "restore failed (connection error): wrong key - manifest's key 1a:8d:27:c9:81:68:f6:3b does not \
                    match provided key 2a:8d:27:c9:81:68:f6:3b\n";
    let failure = name(900, task.as_bytes(), said.as_bytes(), &[]);
    assert!(matches!(failure, GuestFailure::Client(Failure::WrongKey { .. })), "{failure:?}");
    let said = "command 'lxc-usernsexec -m u:0:100000:65536 -- /usr/bin/proxmox-backup-client restore x' failed: exit code 255";
    let failure = name(900, b"Error: snapshot ct/1/2026-01-01T00:00:00Z does not exist.\n", said.as_bytes(), &[]);
    assert!(matches!(failure, GuestFailure::Client(Failure::NotFound { .. })), "{failure:?}");
    // What failed early and was tolerated does not name what ended the task.
    let task = b"Error: permission check failed\ntolerated\nError: error extracting archive - encountered unexpected \
                     error during extraction: No space left on device (os error 28)\n";
    let failure = name(900, task, said.as_bytes(), &[]);
    assert!(matches!(failure, GuestFailure::StorageFull), "{failure:?}");
}

#[test]
fn no_secret_and_no_escape_gets_out() {
    for said in ["oh: a-secret-token-of-ours\n", "storage 'a-secret-token-of-ours' does not exist\n"] {
        let failure = name(900, b"", said.as_bytes(), &["a-secret-token-of-ours"]);
        assert!(!format!("{failure:?}{failure}").contains("secret-token"), "{failure:?}");
    }
    let failure = name(900, b"", "x\u{1b}[2J\u{202e}y".as_bytes(), &[]);
    assert!(!failure.to_string().contains(['\u{1b}', '\u{202e}']), "{failure}");
}
