//! A node below a folder, with a datastore that `pbs-local` keeps.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

pub(crate) const CONTAINER: &str = "pbs:backup/ct/100/2026-01-01T00:00:00Z";
pub(crate) const MACHINE: &str = "pbs:backup/vm/101/2026-01-01T00:00:00Z";
pub(crate) const SECRET: &str = "a-token-secret";

pub(crate) struct Node {
    folder: TempDir,
}

impl Node {
    /// With the storages `local` and `pbs`, container 100 and virtual machine 101 backed up. The client
    /// writes down how it is called.
    pub(crate) fn new() -> Self {
        let node = Self { folder: tempfile::tempdir().unwrap() };
        let (calls, stores) = (node.below("calls"), node.below("stores"));
        fs::create_dir(&stores).unwrap();
        ok(Command::new(pbs_local()).args(["datastore", "create"]).arg(stores.join("store")));
        let text = format!(
            "#!/bin/sh\n{{ echo \"$*\"; env | grep -E '^(PBS_|PROXMOX_|LC_ALL)' | sort; echo; }} >> '{}'\n\
             exec '{}' --root '{}' \"$@\"\n",
            calls.display(),
            pbs_local().display(),
            stores.display()
        );
        program(&node.below("client"), &text);
        ok(Command::new(node.below("client")).args(["key", "create", "--kdf", "none"]).arg(node.below("k.enc")));
        let own = Command::new(env!("CARGO_BIN_EXE_fixture-node"))
            .arg("--fixture-root")
            .arg(node.root())
            .arg("--client")
            .arg(node.below("client"))
            .arg("--datastores")
            .arg(&stores)
            .output()
            .unwrap();
        assert!(own.status.success(), "{own:?}");
        node.back_up();
        node.add_storage("pbs", &["--encryption-key".into(), node.below("k.enc")]);
        fs::remove_file(calls).unwrap();
        node
    }

    fn back_up(&self) {
        let tree = self.below("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), "content").unwrap();
        fs::write(self.below("fw.conf"), "[OPTIONS]\nenable: 1\n").unwrap();
        fs::write(self.below("pct.conf"), "hostname: web\nrootfs: x:vm-100-disk-0,size=1G\nmemory: 64\n").unwrap();
        let machine = "#qmdump#map:scsi0:drive-scsi0:x:raw:\nname: db\nscsi0: x:vm-101-disk-0,size=8M\n";
        fs::write(self.below("qemu-server.conf"), machine).unwrap();
        fs::write(self.below("disk"), vec![7; 5 << 20]).unwrap();
        self.back_up_as("ct", "100", &["pct.conf:pct.conf", "fw.conf:fw.conf", "root.pxar:tree"]);
        self.back_up_as("vm", "101", &["qemu-server.conf:qemu-server.conf", "drive-scsi0.img:disk"]);
    }

    fn back_up_as(&self, kind: &str, id: &str, archives: &[&str]) {
        ok(Command::new(self.below("client"))
            .current_dir(self.folder.path())
            .arg("backup")
            .args(archives)
            .args(["--backup-type", kind, "--backup-id", id, "--backup-time", "1767225600"])
            .args(["--repository", "backup@pbs!box1@127.0.0.1:store", "--keyfile", "k.enc"]));
    }

    /// `pvesm add pbs`, with these options too.
    pub(crate) fn add_storage(&self, id: &str, more: &[PathBuf]) {
        let added = self.storage_command(id, "store", more);
        assert!(added.status.success(), "{added:?}");
    }

    pub(crate) fn storage_command(&self, id: &str, datastore: &str, more: &[PathBuf]) -> Output {
        Command::new(self.path("usr/sbin/pvesm"))
            .args(["add", "pbs", id, "--server", "127.0.0.1", "--datastore", datastore])
            .args(["--username", "backup@pbs!box1", "--password", SECRET])
            .args(more)
            .output()
            .unwrap()
    }

    /// One of the wrappers, with these words.
    pub(crate) fn call(&self, program: &str, words: &[&str]) -> Output {
        Command::new(self.path(program)).args(words).output().unwrap()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.below("node")
    }

    /// A path of PVE's.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn below(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How the client was called since the start, each call a block of lines.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.below("calls")).unwrap_or_default();
        text.split("\n\n").filter(|call| !call.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// Volumes of a guest, by name.
    pub(crate) fn volumes(&self, vmid: u32) -> Vec<String> {
        let folder = self.path(&format!("var/lib/vz/images/{vmid}"));
        let entries = fs::read_dir(folder).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn program(path: &Path, text: &str) {
    // By a child: what this process holds open for writing could still be so in a fork of another test.
    let status =
        Command::new("/bin/sh").args(["-c", r#"printf '%s' "$1" > "$0""#]).arg(path).arg(text).status().unwrap();
    assert!(status.success());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn ok(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// The client's stand-in, from another room; built if it is not there.
fn pbs_local() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_fixture-node")).with_file_name("pbs-local");
    if !path.exists() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = path.parent().unwrap().parent().unwrap();
        let words = ["build", "--quiet", "--package", "pbs-local", "--bins", "--target-dir"];
        let built =
            Command::new(cargo).args(words).arg(target).current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(built.success() && path.exists(), "pbs-local could not be built into {}", target.display());
    }
    path
}
