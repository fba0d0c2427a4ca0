//! `fixture-node`: a node below a folder, and the wrappers.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::{Died, arguments::Own, root::Root};

/// Lays it out; what is there already stays.
pub(crate) fn create(own: &Own) -> Result<(), Died> {
    let folder = own.root()?;
    let node = own.node.as_deref().unwrap_or("pve");
    let client = own.client.as_deref().ok_or("fixture: --client is missing")?;
    let datastores = own.datastores.as_deref().ok_or("fixture: --datastores is missing")?;
    let pve = folder.join("etc/pve");
    for below in [
        format!("nodes/{node}/lxc"),
        format!("nodes/{node}/qemu-server"),
        "priv/storage".to_owned(),
        "firewall".to_owned(),
    ] {
        make(&pve.join(below))?;
    }
    for below in ["usr/sbin", "usr/bin", "var/lib/vz/images", "var/tmp", "run/lock/lxc", "run/lock/qemu-server"] {
        make(&folder.join(below))?;
    }
    fs::set_permissions(pve.join("priv"), fs::Permissions::from_mode(0o700)).map_err(told(&pve))?;
    for (name, target) in [
        ("local", format!("nodes/{node}")),
        ("lxc", format!("nodes/{node}/lxc")),
        ("qemu-server", format!("nodes/{node}/qemu-server")),
    ] {
        let link = pve.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(target, &link).map_err(told(&link))?;
        }
    }
    let members = format!(
        "{{\n\"nodename\": \"{node}\",\n\"version\": 2,\n\"cluster\": {{ \"name\": \"fixture\", \"version\": 1, \
         \"nodes\": 1, \"quorate\": 1 }},\n\"nodelist\": {{\n  \"{node}\": {{ \"id\": 1, \"online\": 1, \
         \"ip\": \"127.0.0.1\"}}\n}}\n}}\n"
    );
    new_file(&pve.join(".members"), &members)?;
    let storages = "dir: local\n\tpath /var/lib/vz\n\tcontent images,rootdir,iso,vztmpl\n\n";
    new_file(&pve.join("storage.cfg"), storages)?;
    Root::open(own)?.write_vmlist()?;
    wrappers(folder, client, datastores)
}

/// The programs, each two lines of shell.
fn wrappers(folder: &Path, client: &Path, datastores: &Path) -> Result<(), Died> {
    let this = env::current_exe().map_err(|error| format!("fixture: {error}"))?;
    let programs = this.parent().ok_or("fixture: this program lies in no folder")?;
    let below = |path: &Path| quote(path);
    for (place, program) in [
        ("usr/sbin/pct", "fixture-pct"),
        ("usr/sbin/qm", "fixture-qm"),
        ("usr/sbin/qmrestore", "fixture-qmrestore"),
        ("usr/bin/pvesh", "fixture-pvesh"),
        ("usr/sbin/pvesm", "fixture-pvesm"),
    ] {
        let text = format!(
            "#!/bin/sh\nexec {} --fixture-root {} --client {} \"$@\"\n",
            below(&programs.join(program)),
            below(folder),
            below(client)
        );
        executable(&folder.join(place), &text)?;
    }
    let text = format!(
        "#!/bin/sh\nexec {} --datastores {} \"$@\"\n",
        below(&programs.join("fixture-pbs-restore")),
        below(datastores)
    );
    executable(&folder.join("usr/bin/pbs-restore"), &text)
}

fn quote(path: &Path) -> String {
    shell_words::quote(&path.to_string_lossy()).into_owned()
}

fn executable(path: &Path, text: &str) -> Result<(), Died> {
    let beside: PathBuf = path.with_extension("new");
    fs::write(&beside, text).map_err(told(&beside))?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).map_err(told(&beside))?;
    fs::rename(&beside, path).map_err(told(path))
}

fn make(path: &Path) -> Result<(), Died> {
    fs::create_dir_all(path).map_err(told(path))
}

fn new_file(path: &Path, text: &str) -> Result<(), Died> {
    if path.exists() {
        return Ok(());
    }
    fs::write(path, text).map_err(told(path))
}

fn told(path: &Path) -> impl Fn(std::io::Error) -> Died {
    let path = path.to_owned();
    move |error| format!("fixture: {}: {error}", path.display())
}
