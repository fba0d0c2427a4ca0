//! What the tests need from the machine, and who brings it.
//!
//! Only the test command installs, only as root, only on Debian, and only what is missing. Elsewhere
//! it says what is missing, and the tests that need it skip by name.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::cargo::step;

/// A program that tests run, Debian's package for it, and what goes untested without it.
struct Need {
    program: &'static str,
    package: &'static str,
    serves: &'static str,
}

const NEEDS: [Need; 10] = [
    Need { program: "initdb", package: "postgresql", serves: "the store's suite on a real PostgreSQL" },
    Need { program: "age", package: "age", serves: "opening the root with stock tools" },
    Need { program: "jq", package: "jq", serves: "the runbook's and the sheet's own lines, typed at a shell" },
    Need {
        program: "sqlite3",
        package: "sqlite3",
        serves: "the runbook's way from a hub's disk, and with it the whole page",
    },
    Need {
        program: "ssh-keygen",
        package: "openssh-client",
        serves: "signatures made and checked by the real ssh-keygen",
    },
    Need { program: "pdftoppm", package: "poppler-utils", serves: "the sheet as other readers of PDF show it" },
    Need { program: "zbarimg", package: "zbar-tools", serves: "the sheet's code as a camera reads it" },
    Need { program: "tmux", package: "tmux", serves: "screens inside a real tmux" },
    Need { program: "setpriv", package: "util-linux", serves: "running a server as an unprivileged user" },
    Need { program: "unshare", package: "util-linux", serves: "a tmpfs of a test's own" },
];

/// Makes the machine ready, or says what will be skipped.
pub(crate) fn prepare(may_install: bool) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let can_install = is_root() && Path::new("/etc/debian_version").exists();
    if may_install
        && can_install
        && let Err(error) = install(&missing)
    {
        eprintln!("── installing did not work: {error:#}");
    }
    let still = self::missing();
    for need in &still {
        eprintln!("── missing: {} (Debian: apt-get install {}), for {}", need.program, need.package, need.serves);
    }
    if postgres_is_required() && still.iter().any(|need| need.package == "postgresql") {
        bail!("TENWORDS_REQUIRE_POSTGRES is set and there is no PostgreSQL server on this machine");
    }
    if !still.is_empty() {
        eprintln!("── the tests that need these are skipped by name");
    }
    Ok(())
}

/// Where the database server's programs are, which depends on Debian's version of it; nothing if
/// somebody has named a place.
pub(crate) fn postgres_programs() -> Option<PathBuf> {
    if env::var_os("TENWORDS_POSTGRES_BIN").is_some() {
        return None;
    }
    Some(find("initdb")?.parent()?.to_owned())
}

/// What is not there, for the last lines of a run.
pub(crate) fn skipped() -> Vec<String> {
    missing().iter().map(|need| format!("{} ({} is missing)", need.serves, need.program)).collect()
}

fn install(missing: &[&Need]) -> Result<()> {
    eprintln!("── installing from Debian what the tests need; the tests start servers of their own");
    step("package lists", apt(["update", "-q"]).stdout(Stdio::null()))?;
    let mut packages = apt(["install", "-q", "-y", "--no-install-recommends"]);
    let names: std::collections::BTreeSet<&str> = missing.iter().map(|need| need.package).collect();
    packages.args(names).stdout(Stdio::null());
    step("packages", &mut packages)
}

fn apt<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| find(need.program).is_none()).collect()
}

/// On PATH, or where Debian keeps the server's programs, which are on nobody's PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(["/usr/bin", "/usr/sbin"].map(PathBuf::from));
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.into_iter().map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn postgres_is_required() -> bool {
    env::var_os("TENWORDS_REQUIRE_POSTGRES").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The owner of our own entry in /proc, so that no library is needed for one number.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}
